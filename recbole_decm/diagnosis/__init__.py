"""Before anything is trained: is there an uploader's habit in the data, how strong, can it be adjusted for?"""
