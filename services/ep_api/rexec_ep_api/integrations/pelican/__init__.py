"""Pelican federations: who is asked for a file, and what is known of it.

A federation's director says who has a file; a collection is listed by WebDAV. Tokens are never
sent: what a federation shows to nobody in particular is what the endpoint can read.
"""
