"""Write text to be read aloud: sentences of random common words, without meaning."""

import numpy as np

# ruff: noqa: RUF001  # letters of other alphabets are meant
WORDS = {
    "en": """the a of and to in is that it was for on are with they be this have from or one had by
        but what some we can out other were all there when up use your how said each she which do
        their time if will way about many then them write would like so these long make thing see
        water number people over know day find work part house garden never morning through""",
    "de": """der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch
        es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen
        so zum war haben nur oder aber vor zur bis mehr durch man sein Straße Wasser schön Haus""",
    "fr": """de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce
        il sont avec mais comme ou si leur y dont on tout nous sa aux cette bien entre sans aussi
        fait deux même jour maison chose toujours petit grand eau jamais chercher travail""",
    "es": """de la que el en y a los se del las un por con no una su para es al lo como más o pero
        sus le ha me si sin sobre este ya entre cuando todo esta ser son dos también fue había era
        muy años hasta desde está mi porque qué sólo han yo hay vez puede casa agua trabajo""",
    "it": """di e il la che in un a per è una sono non si da con del come le i ha più ma al dei
        nel alla anche o gli tutto della lo se suo questo quando molto dopo così senza ogni giorno
        casa acqua sempre fare grande bello lavoro strada mattina niente parlare cercare""",
    "pt": """de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele
        das à seu sua ou quando muito nos já eu também só pelo pela até isso ela entre depois sem
        mesmo aos seus quem nas me esse eles casa água trabalho manhã cidade sempre""",
    "nl": """de en van ik te dat die in een hij het niet zijn is was op aan met als voor had er maar
        om hem dan zou of wat mijn men dit zo door over ze zich bij ook tot je mij uit der daar haar
        naar heb hoe heeft hebben deze want nog huis water straat altijd morgen groot schoon""",
    "pl": """i w nie na się z do to jest że o jak po co za tak od przez ale już dla czy ich może
        tylko był jego sobie jeszcze kiedy bardzo nawet gdzie teraz ludzie dom woda praca zawsze
        dzień miasto dobrze człowiek droga rano szukać mówić wielki piękny życie wszystko""",
    "sv": """och i att det som en på är av för med till den har de inte om ett han men var jag sig
        från vi så kan man när år säga hon under också efter eller nu sin där vid mot ska skulle
        kommer ut får finns vara hade alla andra mycket än hus vatten arbete alltid morgon väg""",
    "ru": """и в не на я быть он с что это по к но они мы весь из у который то за свой год от так
        для ты все тот мочь вы человек такой его сказать только или ещё бы себя один как уже до
        время если сам когда другой вот говорить наш мой знать дом вода работа утро дорога""",
    "fi": """ja on ei että se oli hän mutta ovat kun niin myös kuin tai sen jos mukaan ole hänen
        vain minä joka nyt sitten koko ennen vielä jo kanssa talo vesi työ aina aamu päivä kaunis
        suuri puhua etsiä kaupunki ihminen katu hyvä uusi pieni paljon täällä yhdessä""",
    "tr": """ve bir bu da ne için o ben çok ama mi var daha en gibi kadar sen değil şey bana her
        olarak sonra iyi zaman ki kendi evet yok onu şimdi nasıl neden olan biz güzel büyük ev su
        iş sabah gün şehir insan konuşmak aramak yol yeni küçük burada birlikte her zaman""",
    "cs": """a se v na je že o s z do i to k ve pro za by ale si po jako podle od jsem tak jeho
        které který jsou byl která až než která při jen bude jeho další když dům voda práce vždy
        ráno den krásný velký mluvit hledat město člověk ulice dobrý nový malý řeka tady spolu""",
    "el": """και το να του η της με που την από για τα είναι των σε ο οι στο θα τη στην τον τους
        δεν τις ένα μια ότι ή αλλά αυτό πολύ όταν μας πως μου σπίτι νερό δουλειά πάντα πρωί μέρα
        όμορφο μεγάλο μιλάω ψάχνω πόλη άνθρωπος δρόμος καλό νέο μικρό εδώ μαζί τώρα""",
    "hu": """a az és hogy nem is egy ez meg de csak már volt azt mint még el van én ha lesz ki
        vagy mert így úgy most minden nagyon sok két ember idő ház víz munka mindig reggel nap
        szép nagy beszél keres város utca jó új kicsi folyó itt együtt aztán soha""",
}


def write_text(rng: np.random.Generator, language: str, num_sentences: int) -> str:
    """Write sentences in a language of `WORDS`, some with commas, some of them questions."""
    words = WORDS[language].split()
    sentences = []
    for _ in range(num_sentences):
        chosen = [words[i] for i in rng.integers(len(words), size=rng.integers(3, 15))]
        if len(chosen) > 6 and rng.random() < 0.5:
            chosen[int(rng.integers(2, len(chosen) - 2))] += ","
        end = rng.choice([".", ".", ".", "?", "!"])
        sentences.append(" ".join(chosen).capitalize() + end)
    return " ".join(sentences)
