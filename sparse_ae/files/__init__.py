"""Files written whole or not at all, and archives that unpack within bounds."""
