"""Matrix products from register tiles."""
