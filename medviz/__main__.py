"""`python -m medviz` is the `medviz` command."""

from medviz.cli import main

main()
