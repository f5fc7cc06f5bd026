"""``python -m tefast``: see `tefast.command`."""

import sys

from tefast.command import main

sys.exit(main())
