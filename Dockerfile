# SPDX-License-Identifier: Apache-2.0
# The program alone on a bare Debian 12:
#   docker build -t paring .
#   docker run --rm -v "$PWD/models:/models" paring inspect /models/model.gguf
#   docker run --rm -it -v paring-cache:/cache paring run hf:OWNER/NAME:Q4_K_M
# What is fetched is kept in the volume /cache (HF_HOME). The process is not root.

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
    && install -d -o paring -g paring /cache
COPY --from=build /installed/ /
ENV HF_HOME=/cache
VOLUME /cache
USER paring
WORKDIR /home/paring
ENTRYPOINT ["paring"]
CMD ["--help"]
