"""``python -m tefast.experiment``: see `tefast.experiment.cli`."""

import sys

from tefast.experiment.cli import main

sys.exit(main())
