"""What a hostile caller may send to `seglab serve`; run by scripts/attack_server.py."""
