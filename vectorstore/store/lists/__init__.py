"""Lists: pages of the newest version of each name, filtered, searched and sorted, without the ORM."""
