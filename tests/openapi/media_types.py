"""Media types that schemathesis does not know: bytes, to it."""

import schemathesis

schemathesis.serializer.alias("message/ohttp-req", "application/octet-stream")
