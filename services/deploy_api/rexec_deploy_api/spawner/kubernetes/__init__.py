"""Servers as pods of Kubernetes."""
