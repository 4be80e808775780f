"""The deploy API: it starts, watches and ends the servers of users."""
