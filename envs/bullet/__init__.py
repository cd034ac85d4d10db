"""What all simulators here share: a Bullet client of one's own, cameras, state digests."""
