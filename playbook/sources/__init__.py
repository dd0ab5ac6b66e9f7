"""Exports of the platforms people sell on, and public data sets, into a store. Imported
by no analysis module.
"""
