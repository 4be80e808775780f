"""The catalog: organizations, their datasets, the resources of these, and searching for them."""
