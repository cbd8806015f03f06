"""Read frames from videos, image folders, arrays and cameras, and write videos.

`opencv` is the only module that imports cv2; others import it from `video.opencv`.
"""
