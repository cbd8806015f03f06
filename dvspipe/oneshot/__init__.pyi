from .config import LearnConfig as LearnConfig
from .films import ExampleFilm as ExampleFilm
from .films import list_films as list_films
from .learning import CutFilm as CutFilm
from .learning import Learned as Learned
from .learning import cut_film as cut_film
from .learning import learn as learn
