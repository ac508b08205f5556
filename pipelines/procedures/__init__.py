"""Procedures, one file each: plan schema, planner, measurements, steps and story."""
