"""`python -m playbook`: the same commands as `playbook`."""

import sys

from playbook.cli import main

if __name__ == "__main__":
    sys.exit(main())
