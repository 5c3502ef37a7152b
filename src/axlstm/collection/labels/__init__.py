"""Say what is heard in recordings: labels by people, their files, and the windows that they count for."""
