"""What developers run: packages of the test machine, compiled MIB facts."""
