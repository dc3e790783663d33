# Copyright 2026 espnet_prune contributors
#  Apache 2.0  (http://www.apache.org/licenses/LICENSE-2.0)

"""Common words of large_speech, many of which differ in one sound.

Nouns, verbs and adjectives take endings, see `sentences`. There are no two words of one
sound, and no verb doubles its last letter.
"""

from typing import Dict

NOUNS = """
actor anchor animal apple apron arrow artist attic autumn badge bag bakery ball banana
band bank barn barrel basket bat bath beach beam bean bear beard bed bell belt bench
bike bird blade blanket boat bone book boot border bottle bowl brain branch brick bridge
broom brother bucket bug bus button cabin cable cage cake camel camp candle canoe cap
captain card carpet carrot cart cat cave chain chair cheek chest chicken chin circle
cliff clock cloth cloud clown coal coat coin collar comb corner cottage cotton couch
cousin cow crab crane cradle crew cricket crop crow crown cup curtain daisy dance desert
desk diamond dinner dish doctor dog doll donkey door dragon drawer dream dress drum duck
eagle ear engine farmer father fence fern field finger flag flame flock floor fog forest
fork fort fountain fox frog fruit funnel garden garlic gate ghost gift giraffe girl
glass glove goat goblet gown grape ground guard guitar hall hammer hand harbor harp hat
helmet hill hinge hook horn hospital hotel hut island jacket jar jewel judge jug jungle
kettle king kitchen kite kitten ladder lake lamp lawyer leaf leg lemon letter lid lion
lip lizard lock log machine magnet map market mask mayor meadow melon mill mirror monkey
moon mop mother motor mountain mug mushroom nail napkin neck needle nest net novel nurse
oak ocean office onion orange orchard oven owl ox paddle page palm pan paper park parrot
path pebble pen pencil pepper pig pigeon pillow pilot pin pipe plank plant plate pocket
poem pond pony pool pot potato puddle pump pupil puppet queen rabbit raft rail rake rat
ribbon rice ring river road robin rock roof room rope rug sack saddle sailor salad salt
sand sandal saucer scarf school seal seat seed shed sheep shelf shell ship shirt shoe
shop shovel signal singer sister skirt slope snail snake soap sock sofa soldier song
spark spider spoon spring squirrel stable stamp star station statue stem stone stool
storm stove stream street sugar sun swan table tailor tank teacher temple tent thief
throat thumb ticket tiger timber toad tool tooth torch tower town tractor train tray
tree trumpet trunk tub tunnel turtle uncle valley van vase village violin wagon wall
walnut wheel whip wife window wing winter wolf woman wool worker yard zebra
"""

VERBS = """
admire answer arrest attack avoid bake bless block boil borrow burn bury carry carve
chase clean climb collect copy count cover damage decorate deliver deny destroy discover
doubt dust enjoy examine face fasten fear film fix fold follow forgive gather guess
guide hate help hunt ignore invite join kick kiss lift like list load love mark measure
mend miss move notice offer open order paint park pass pick polish praise print protect
pull punish push reach remember remove repair rescue respect return roll scare search
serve sharpen shout smell smoke soak stack steer stretch study support suspect taste
thank touch trade trust turn twist visit want warn wash watch weigh wrap
"""

ADJECTIVES = """
ancient angry bitter black blind blue bold brave brief bright broken brown calm cheap
clever clumsy cold cool crooked cruel curious damp dark dead deep dirty dull eager early
empty faint famous fast fat fierce final firm flat foolish fresh friendly full funny
gentle giant glad golden grand gray greedy green grim handsome happy hard harsh heavy
hollow honest huge hungry jolly kind large late lazy lean light little lively lonely
long loose loud lucky mad merry mild modern muddy narrow neat new nice noble noisy odd
old pale plain polite poor proud purple quick quiet rapid rare rich ripe rotten rough
round royal rude rusty sad safe secret sharp shiny short shy silent silver simple sleepy
slow small smart smooth soft solid sour square steep sticky stiff strange strong
stubborn sweet tall tame tender thick thin tidy tiny tired tough true ugly warm wet
whole wicked wide wild wise wooden yellow young
"""

WORDS: Dict[str, str] = {
    "noun": NOUNS,
    "adjective": ADJECTIVES,
    "title": "doctor captain mister lady uncle judge professor sergeant",
    "det": "the the the the a that this every another her his my our your its",
    "dets": "the the these those some many few several her his my our your its",
    "prep": "under over behind beside near into across around below above through "
    "against along toward inside beyond",
    "joint": "and but because while although until before after unless",
    "time": "today yesterday tomorrow tonight again soon suddenly often never always "
    "later finally",
    "when": "january february march april may june july august september october "
    "november december monday tuesday wednesday thursday friday saturday sunday "
    "thirteen thirty fourteen forty fifteen fifty sixteen sixty seventeen seventy "
    "eighteen eighty nineteen ninety noon midnight",
    "number": "three four five six seven nine ten eleven twelve thirteen thirty "
    "fourteen forty fifteen fifty sixteen sixty seventeen seventy eighteen eighty "
    "nineteen ninety",
    "ask": "why when where how",
    "modal": "can could will would should must might may cannot shall",
    "be": "is was seems became looks looked",
    "unit": "miles meters pounds gallons hours minutes dollars pages",
    "place": "street road river lake county hill valley bridge",
}
