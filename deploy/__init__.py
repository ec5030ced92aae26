"""Putting the system on machines: the demo city, and tools that fetch test servers."""
