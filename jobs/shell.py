"""The command `separator`: run, plan, status, retry and export, with the same kind of arguments."""

import sys

USAGE = """\
usage: separator COMMAND CONFIG.yaml [dotted.key=value ...]

  run      separate what is new, changed or failed
  plan     say what that would be, and estimate what it takes
  status   say what has been done so far
  retry    run only what has failed
  export   make a data set of what has been done (configs/export.yaml)
"""


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    command, rest = (arguments or [""])[0], arguments[1:]
    if command in ("run", "retry"):
        from jobs import separate

        again = ["run.only=failed", "run.retry_failed=true"] if command == "retry" else []
        return separate.main([*rest, *again])
    if command == "plan":
        from jobs import plan

        return plan.main(rest)
    if command == "status":
        from jobs import status

        return status.main(rest)
    if command == "export":
        from jobs import export

        return export.main(rest)
    print(USAGE, end="", file=sys.stdout if command in ("-h", "--help") else sys.stderr)
    return 0 if command in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main())
