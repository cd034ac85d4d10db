"""Simulators behind Gymnasium: the shared Bullet layer and one package per world."""
