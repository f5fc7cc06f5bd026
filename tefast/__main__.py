"""``python -m tefast``: see `tefast._cli`."""

import sys

from tefast._cli import main

sys.exit(main())
