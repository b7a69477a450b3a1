"""Signers: who holds private keys and signs with them."""
