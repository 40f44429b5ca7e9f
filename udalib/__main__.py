from udalib.cli import main

raise SystemExit(main())
