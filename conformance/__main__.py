"""`python -m conformance`: the command line."""

from conformance.launch import distrust_current_folder, leave_at_interrupt

distrust_current_folder()
leave_at_interrupt()

from conformance.cli import main  # noqa: E402  # what it imports must not come from an upload

main()
