"""Mutants of chat templates, made by operators on the syntax tree: does the suite catch, name and locate each?

`tree` finds where every node stands in the source, `operators` make the edits, `expect` derives from what an edit
changed how the suite should call it, `score` runs the campaign, `report` writes what came out.
"""
