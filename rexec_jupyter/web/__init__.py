"""What the services that speak HTTP have in common: how they are served, limited and measured."""
