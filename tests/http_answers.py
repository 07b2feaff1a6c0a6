# SPDX-License-Identifier: Apache-2.0
"""What the stand-in servers of the tests send."""


def send(handler, status, body=b"", headers=()):
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    try:
        handler.wfile.write(body)
    except OSError:  # the client has gone, as a test may want
        handler.close_connection = True
