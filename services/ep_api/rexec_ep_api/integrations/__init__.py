"""What stands behind an endpoint if its operator configured it, and how it is asked."""
