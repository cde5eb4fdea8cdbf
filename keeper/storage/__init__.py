"""SQLite files: opened by one process, checked before they are trusted, written in whole transactions."""
