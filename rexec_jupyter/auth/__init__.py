"""Who a bearer token belongs to and what they may do; shared by every service that meets one."""
