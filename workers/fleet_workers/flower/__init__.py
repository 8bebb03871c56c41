"""Flower for the fleet: who works on which delivery, without what customers wrote."""
