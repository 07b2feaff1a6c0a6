# SPDX-License-Identifier: Apache-2.0
# The program alone on a bare Debian 12. By itself it serves /models/model.gguf; others can reach that, so it takes a key:
#   docker build -t paring .
#   docker run --rm -p 8000:8000 -v "$PWD/models:/models:ro" -v paring-data:/data -e PARING_API_KEY paring
#   docker run --rm -v "$PWD/models:/models:ro" paring inspect /models/model.gguf
#   docker run --rm -it -v paring-cache:/cache paring run hf:OWNER/NAME:Q4_K_M
# /data is the server's state (keys, batches), /cache what was fetched (HF_HOME). The process is not root.

FROM debian:12-slim AS build
WORKDIR /source
COPY deps/apt.txt deps/
# hadolint ignore=DL3008
RUN apt-get update \
    && sed 's/#.*//' deps/apt.txt | xargs -r apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake --preset release \
    && cmake --build --preset release --target paring \
    && DESTDIR=/installed cmake --install build/release --prefix /usr --strip

FROM debian:12-slim
# Libraries that the program is linked with, and libcurl, which it loads for its first download
# (tests/test_packaging.py holds this list to that).
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
       ca-certificates \
       libcurl4 \
       libfmt9 \
       libspdlog1.10 \
       libsqlite3-0 \
       libssl3 \
       libyaml-cpp0.7 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home paring \
    && install -d -o paring -g paring /cache \
    && install -d -o paring -g paring -m 0700 /data
COPY --from=build /installed/ /
ENV HF_HOME=/cache \
    PARING_DATA_DIR=/data \
    PARING_PORT=8000
VOLUME /cache /data
EXPOSE 8000
USER paring
WORKDIR /home/paring
# Healthy is what answers and whose engine takes steps. For commands that serve nothing: --no-healthcheck.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10m --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$PARING_PORT && printf 'GET /livez HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
# SIGTERM lets running answers finish: give `docker stop` more time than serve.drain_seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["paring"]
CMD ["serve", "/models/model.gguf", "--host", "0.0.0.0"]
