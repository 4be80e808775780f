"""The endpoint API: a catalog of datasets, who may use it, and where rexec is."""
