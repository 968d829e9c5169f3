"""What the tests of several engines share."""

from conformance.engines import Limits

SHORT = Limits(time_s=0.4, grace_s=0.4, memory_bytes=256 << 20, output_chars=100_000, startup_s=60, hang_s=3)
