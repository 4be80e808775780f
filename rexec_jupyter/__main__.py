"""``python -m rexec_jupyter``: the ``rexec`` command."""

from rexec_jupyter.cli.root import main

if __name__ == "__main__":
    main()
