"""What would have been chosen without the uploaders' habits: a choice model, its weights, and estimates by them.

Arrays in, arrays out. ``docs/estimation.md`` gives the equations and says where they break.

Shapes: n rows (a video with the track chosen for it), M tracks, T kinds of tracks (tracks of the same genres), F
numbers that describe a video, Y numbers that describe a track, R draws of what the features do not show.
"""
