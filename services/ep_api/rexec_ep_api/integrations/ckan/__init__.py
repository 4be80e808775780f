"""Catalogs that CKAN keeps, used through its Action API as if they were the endpoint's own."""
