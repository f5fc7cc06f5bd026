"""Recurrent layers, whole and reduced: their kinds, weights and units."""
