"""One file a command of ``fintok vision``; each is imported when it is called."""
