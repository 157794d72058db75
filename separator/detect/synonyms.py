"""List phrases that people use for sounds, and the classes of detectors that they mean.

A line of `TABLE` is `phrases: classes`, each separated by `;`. A phrase is found in a text that has
all its words, in any order and inflection. Classes are those of AudioSet and the kinds of our
generator; `classes.py` looks up which of them a detector has.
"""

TABLE = """
speech; person speak; person talk; someone talk; someone speak; people talk; people speak;\
 human voice; voice; talking; speaking; spoken words; conversation; dialogue; narrator; narration;\
 police officer:\
 Speech; Male speech, man speaking; Female speech, woman speaking; Child speech, kid speaking;\
 Conversation; Narration, monologue; man; woman
man speak; man talk; male speech; male voice; man voice; man reads; male speaker:\
 Male speech, man speaking; man
woman speak; woman talk; female speech; female voice; woman voice; woman reads; female speaker:\
 Female speech, woman speaking; woman
child speak; child talk; kid speaking; children talk: Child speech, kid speaking
crowd; babble; many voices; chatter; hubbub; many people talk; lots people talk;\
 people talk same time; crowd people talk:\
 Crowd; Hubbub, speech noise, speech babble; Chatter; babble
scream; screaming; shriek: Screaming
shout; yell: Shout; Yell; Children shouting; Bellow
whisper: Whispering
laugh; laughter; giggle; chuckle; ha ha:\
 Laughter; Baby laughter; Giggle; Snicker; Belly laugh; Chuckle, chortle; laughter
cry; weep; sob: Crying, sobbing; Baby cry, infant cry; Whimper; Wail, moan
baby cry; infant cry; baby: Baby cry, infant cry
sing; singing; singer; vocals: Singing; Male singing; Female singing; Child singing; Choir; Chant
choir: Choir
rap music; rapper: Rapping
whistle; whistling: Whistling; Whistle; whistle
someone whistle; person whistle; man whistle; woman whistle; whistle tune: Whistling; whistle
referee whistle: Whistle; whistle
breath; breathing: Breathing; Wheeze; Gasp; Pant
snore; snoring: Snoring; snoring
cough; coughing: Cough; cough
sneeze: Sneeze
footstep; steps; walking; someone walk; person run; run feet; shoes; heels: Walk, footsteps; Run;\
 footsteps
heart; heartbeat: Heart sounds, heartbeat; Heart murmur; heartbeat
clap; clapping; applause; applaud; audience clap: Clapping; Applause; applause
clap thunder; thunder clap: Thunder; Thunderstorm; thunder
cheer: Cheering
animal: Animal; Domestic animals, pets; Livestock, farm animals, working animals; Wild animals
dog; puppy; hound; bark; woof; yapping:\
 Dog; Bark; Yip; Howl; Bow-wow; Growling; Whimper (dog); Canidae, dogs, wolves; dog
cat; kitten; meow; miaow; tomcat; mew: Cat; Meow; Purr; Caterwaul; cat
horse; neigh; hoof: Horse; Clip-clop; Neigh, whinny
cow; cattle; moo: Cattle, bovinae; Moo
pig: Pig; Oink
goat; bleat: Goat; Bleat; sheep
sheep; lamb; baa; ewe: Sheep; Bleat; sheep
chicken; rooster; hen; cock crow; cockerel:\
 Chicken, rooster; Cluck; Crowing, cock-a-doodle-doo; Fowl
duck; quack: Duck; Quack
goose; geese: Goose; Honk
lion; tiger: Roaring cats (lions, tigers); Roar
bird; birdsong; songbird; tweet; twitter:\
 Bird; Bird vocalization, bird call, bird song; Chirp, tweet; Squawk; bird
crow caw: Crow; Caw
pigeon; dove: Pigeon, dove; Coo
owl; hoot: Owl; Hoot; owl
insect: Insect; Cricket; Mosquito; Fly, housefly; Buzz; Bee, wasp, etc.; bee; crickets
bee; bumblebee; wasp: Bee, wasp, etc.; Buzz; bee
fly buzz; flies buzz; insect buzz: Fly, housefly; Buzz; Insect; Bee, wasp, etc.; bee
cricket; cicada; grasshopper: Cricket; Insect; crickets
mosquito: Mosquito
frog; toad; ribbit; croak; bullfrog: Frog; Croak; frog
music: Music; Musical instrument; piano; guitar; strings; flute; trumpet; organ; drums
guitar; guitarist; guitar music:\
 Guitar; Electric guitar; Acoustic guitar; Steel guitar, slide guitar; Bass guitar; Strum; guitar
electric guitar: Electric guitar; guitar
acoustic guitar: Acoustic guitar; guitar
bass guitar: Bass guitar
piano; pianist; piano music: Piano; Electric piano; piano
keyboard music: Keyboard (musical); Piano; Organ; Synthesizer; piano; organ
organ; organist; pipe organ; church organ; organ music:\
 Organ; Electronic organ; Hammond organ; organ
drum; drumming; drummer; percussion; drumbeat; drum music:\
 Drum; Drum kit; Percussion; Snare drum; Bass drum; Drum machine; Drum roll; Hi-hat; drums
string instrument; strings; bowed string; string orchestra; string ensemble; string music:\
 Bowed string instrument; String section; Violin, fiddle; Cello; Double bass; strings
violin; fiddle; violinist; violin music: Violin, fiddle; Bowed string instrument; strings
cello; cellist; cello music: Cello; Bowed string instrument; strings
flute; flutist; recorder flute; flute music: Flute; flute
trumpet; trumpeter; brass; brass instrument; trumpet music: Trumpet; Brass instrument; trumpet
saxophone; sax; saxophone music: Saxophone
bell; church bell; toll: Bell; Church bell; Jingle bell; Chime; Change ringing (campanology); bell
doorbell; door bell: Doorbell; Ding-dong
bicycle bell; bike bell: Bicycle bell
telephone bell: Telephone bell ringing; telephone
wind; gust; breeze; windy; blustery: Wind; Wind noise (microphone); Rustling leaves; wind
wind instrument; woodwind: Wind instrument, woodwind instrument; flute
wind chime: Wind chime
thunder; thunderstorm; thunderclap; lightning: Thunder; Thunderstorm; thunder
rain; rainfall; rainstorm; raindrop; downpour; drizzle; rainy: Rain; Raindrop; Rain on surface; rain
stream; brook; creek; water; trickle; water run:\
 Stream; Water; Trickle, dribble; Gurgling; Water tap, faucet; Pour; Drip; stream
river: Stream; Water; stream
waterfall: Waterfall
waves; surf; ocean; sea; beach; tide: Ocean; Waves, surf; waves
tap water; faucet: Water tap, faucet
fire; flame; campfire; bonfire; fireplace; firewood; wood burn; logs crackle; burn logs: Fire;\
 Crackle; fire
fire alarm: Fire alarm; Smoke detector, smoke alarm; alarm
fire engine; fire truck; fire brigade; fire department:\
 Fire engine, fire truck (siren); Emergency vehicle; siren
firework; firecracker: Fireworks; Firecracker
car; automobile; vehicle: Car; Vehicle; Motor vehicle (road); Car passing by; engine
traffic: Traffic noise, roadway noise; Vehicle; Car passing by
car horn; honk; horn; truck horn; air horn:\
 Vehicle horn, car horn, honking; Toot; Air horn, truck horn; Train horn; Foghorn; horn
ship horn; foghorn: Foghorn; horn
train horn: Train horn; horn
french horn: French horn
truck; lorry: Truck; engine
truck beep; reversing beep; truck backs: Reversing beeps; alarm
car alarm: Car alarm; alarm
bus: Bus
motorcycle; motorbike: Motorcycle; engine
engine; motor; idling; revving; diesel:\
 Engine; Idling; Accelerating, revving, vroom; Light engine (high frequency);\
 Medium engine (mid frequency); Heavy engine (low frequency); Engine starting; engine
siren: Siren; Police car (siren); Ambulance (siren); Fire engine, fire truck (siren);\
 Civil defense siren; Emergency vehicle; siren
police siren; police car; police: Police car (siren); Siren; Emergency vehicle; siren
ambulance; ambulance siren: Ambulance (siren); Siren; Emergency vehicle; siren
fire truck siren; fire engine siren; fire brigade siren; fire department siren:\
 Fire engine, fire truck (siren); Siren; siren
air raid siren; air raid; civil defence siren: Civil defense siren; siren
emergency vehicle: Emergency vehicle; Siren; siren
alarm; beep; beeping; beeper: Alarm; Beep, bleep; Smoke detector, smoke alarm; Fire alarm;\
 Alarm clock; Buzzer; Reversing beeps; Car alarm; alarm
smoke alarm; smoke detector: Smoke detector, smoke alarm; Fire alarm; alarm
alarm clock: Alarm clock; alarm
telephone; phone; ringtone: Telephone; Telephone bell ringing; Ringtone; telephone
clock; watch tick; tick; ticking: Clock; Tick; Tick-tock; clock
helicopter; rotor; chopper: Helicopter; helicopter
airplane; aeroplane; aircraft; plane; jet: Aircraft; Fixed-wing aircraft, airplane;\
 Aircraft engine; Jet engine; Propeller, airscrew
train; railway; railroad; locomotive; steam train; steam locomotive; steam engine:\
 Train; Rail transport; Railroad car, train wagon;\
 Train wheels squealing; Clickety-clack; train
train whistle; steam whistle: Train whistle; Steam whistle
subway; underground train: Subway, metro, underground
boat; ship; motorboat: Boat, Water vehicle; Motorboat, speedboat; Ship
hum; humming; mains hum: Hum; Mains hum; hum
hiss; hissing; white noise; static; tape hiss: Hiss; White noise; Static; Noise; hiss
steam hiss; steam: Steam; hiss
drill; drilling; power tool: Drill; Power tool; Dental drill, dentist's drill; drill
saw; sawing; chainsaw: Sawing; Chainsaw
hammer; hammering: Hammer; Jackhammer
vacuum; vacuum cleaner; hoover; vacuuming: Vacuum cleaner; vacuum
hair dryer: Hair dryer
lawn mower: Lawn mower
typing; keyboard; computer key; keys click; typist; typewriter; keyboard click; typing keyboard:\
 Typing; Computer keyboard; Typewriter; typing
typewriter: Typewriter; Typing; typing
knock; rap door; knocking: Knock; knocking
door: Door; Slam; Sliding door; Knock; Doorbell; Squeak; Creak
door slam: Slam; Door
toilet: Toilet flush
gunshot; gunfire; gun; shooting; gun fire; rifle fire:\
 Gunshot, gunfire; Machine gun; Fusillade; Cap gun
artillery; artillery fire; cannon fire: Artillery fire; Gunshot, gunfire
explosion; blast: Explosion; Boom; Eruption
glass break; shatter; broken glass: Shatter; Glass; Breaking
dishes; cutlery: Dishes, pots, and pans; Cutlery, silverware
""".strip()


def read_table(text: str = TABLE) -> list[tuple[list[str], list[str]]]:
    """Split the table into (phrases, classes) of each line."""
    sides = [line.split(": ") for line in text.splitlines()]
    return [(phrases.split("; "), classes.split("; ")) for phrases, classes in sides]
