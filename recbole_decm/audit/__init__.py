"""Audits of trained models: does the adjustment do anything, and does the teacher help?"""
