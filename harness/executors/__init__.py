"""Where episodes run: in this process (``local``) or in Ray actors (``ray``), with the same results."""
