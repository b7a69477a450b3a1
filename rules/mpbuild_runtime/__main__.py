"""``python -m mpbuild_runtime`` is ``mpbuild-run``."""

from mpbuild_runtime.run import main

raise SystemExit(main())
