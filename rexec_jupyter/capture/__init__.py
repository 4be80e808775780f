"""Which variables go along with a cell: pure Python, for notebooks and scripts alike."""
