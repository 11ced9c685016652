"""Word lists the English grammar rests on. Data only."""

from __future__ import annotations

IRREGULAR_PLURALS = dict(
    pair.split(":")
    for pair in """
    man:men woman:women child:children person:people mouse:mice louse:lice goose:geese foot:feet tooth:teeth ox:oxen
    wolf:wolves calf:calves half:halves knife:knives leaf:leaves life:lives loaf:loaves self:selves shelf:shelves
    thief:thieves wife:wives elf:elves scarf:scarves hoof:hooves
    cactus:cacti fungus:fungi nucleus:nuclei stimulus:stimuli alumnus:alumni radius:radii bacillus:bacilli
    syllabus:syllabi octopus:octopuses virus:viruses hippopotamus:hippopotamuses platypus:platypuses walrus:walruses
    analysis:analyses axis:axes basis:bases crisis:crises oasis:oases thesis:theses hypothesis:hypotheses
    diagnosis:diagnoses parenthesis:parentheses synthesis:syntheses neurosis:neuroses
    phenomenon:phenomena criterion:criteria bacterium:bacteria datum:data medium:media curriculum:curricula
    memorandum:memoranda stratum:strata ovum:ova
    larva:larvae alga:algae vertebra:vertebrae antenna:antennae formula:formulas nebula:nebulae supernova:supernovae
    matrix:matrices vertex:vertices index:indices appendix:appendices
    potato:potatoes tomato:tomatoes hero:heroes echo:echoes torpedo:torpedoes veto:vetoes mosquito:mosquitoes
    volcano:volcanoes mango:mangoes buffalo:buffaloes
    policeman:policemen policewoman:policewomen fireman:firemen fisherman:fishermen postman:postmen
    salesman:salesmen gentleman:gentlemen businessman:businessmen businesswoman:businesswomen sportsman:sportsmen
    chairman:chairmen craftsman:craftsmen englishman:englishmen frenchman:frenchmen irishman:irishmen
    dutchman:dutchmen snowman:snowmen superman:supermen caveman:cavemen nobleman:noblemen mailman:mailmen
    spokesman:spokesmen statesman:statesmen congressman:congressmen cameraman:cameramen
    freshman:freshmen horseman:horsemen workman:workmen doorman:doormen milkman:milkmen watchman:watchmen gunman:gunmen
    seaman:seamen boatman:boatmen swordsman:swordsmen marksman:marksmen huntsman:huntsmen tradesman:tradesmen
    councilman:councilmen congresswoman:congresswomen sportswoman:sportswomen anchorman:anchormen barman:barmen
    batsman:batsmen clergyman:clergymen foreman:foremen handyman:handymen layman:laymen madman:madmen
    middleman:middlemen repairman:repairmen serviceman:servicemen showman:showmen stuntman:stuntmen woodsman:woodsmen
    scotsman:scotsmen welshman:welshmen norseman:norsemen saleswoman:saleswomen horsewoman:horsewomen
    salesperson:salespeople spokesperson:spokespeople businessperson:businesspeople tradesperson:tradespeople
    grandchild:grandchildren schoolchild:schoolchildren stepchild:stepchildren godchild:godchildren
    dormouse:dormice eyetooth:eyeteeth forefoot:forefeet werewolf:werewolves housewife:housewives midwife:midwives
    quiz:quizzes bus:buses gas:gases lens:lenses class:classes glass:glasses
    cello:cellos piano:pianos photo:photos
    """.split()
)
"""Singular -> plural, where no rule gives it."""

PLURAL_IRREGULARS = {plural: singular for singular, plural in IRREGULAR_PLURALS.items()} | {
    "persons": "person",
    "octopi": "octopus",
    "cactuses": "cactus",
    "formulae": "formula",
    "antennas": "antenna",
    "indexes": "index",
    "dice": "die",
    "pence": "penny",
    "brethren": "brother",
    "cattle": "cattle",
    "police": "police",
    "folk": "folk",
    "vermin": "vermin",
    "poultry": "poultry",
    "clergy": "clergy",
    "elite": "elite",
}
"""Plural -> singular, with second plurals and plurals that have no singular."""

INVARIANT_NOUNS = frozenset(
    """
    fish sheep deer moose salmon trout tuna cod shrimp squid swine bison elk species series aircraft spacecraft
    hovercraft watercraft offspring means headquarters crossroads barracks gallows swiss chinese japanese portuguese
    vietnamese taiwanese maltese burmese sudanese lebanese goldfish jellyfish starfish swordfish shellfish catfish
    crayfish dogfish plankton reindeer
    """.split()
)
"""Nouns whose plural is the same word."""

SINGULAR_IN_S = frozenset(
    """
    bus gas lens news physics mathematics economics politics ethics linguistics statistics logic acoustics gymnastics
    athletics genetics mechanics dynamics optics electronics aerobics phonetics semantics pragmatics measles
    mumps diabetes rabies christmas atlas canvas bias alias pancreas cosmos chaos always perhaps yes this his its has
    is was does us thus less species series tennis chess james charles socrates aristoteles hercules achilles moses
    jesus zeus thales euclides archimedes pythagoras sophocles aristophanes pericles thomas nicholas texas kansas
    paris
    athens mars venus uranus dennis chris alexis curtis lewis travis douglas marcus julius claudius brutus cassius
    confucius columbus copernicus ulysses odysseus heracles iris luis carlos jess agnes gladys frances mercedes jones
    davis adams harris williams evans perseus theseus prometheus orpheus jonas lukas lucas silas elias tobias matthias
    """.split()
)
"""Words in -s that are no plural."""

MASS_NOUNS = frozenset(
    """
    water milk wine beer coffee tea juice oil petrol gasoline gold silver iron copper steel lead tin zinc mercury
    brass
    bronze platinum uranium plutonium aluminium aluminum oxygen hydrogen nitrogen helium carbon chlorine sulfur
    sulphur
    phosphorus sodium potassium calcium magnesium air ice snow rain fog steam smoke dust sand soil mud clay rock stone
    wood paper plastic glass rubber leather cotton wool silk linen cloth fabric fur hair skin blood flesh meat beef
    pork bread butter cheese rice flour sugar salt pepper honey chocolate fruit food corn wheat grass hay grain
    furniture luggage baggage equipment machinery clothing jewelry jewellery software hardware money cash currency
    music art poetry literature philosophy history science biology chemistry medicine law logic love hate anger fear
    joy courage wisdom knowledge information advice evidence research progress work labour labor homework housework
    traffic weather sunlight light darkness heat electricity energy power gravity radiation sound noise silence matter
    plasma lava magma granite marble quartz diamond amber coal charcoal ash concrete cement asphalt wax paint ink glue
    soap shampoo perfume alcohol ethanol vodka whisky whiskey rum vinegar ketchup mustard yogurt cream garlic ginger
    spaghetti pasta soup poison venom garbage trash rubbish waste compost fertilizer pollen bacteria algae moss ivy
    bamboo vegetation wildlife livestock poultry seafood tofu caviar crime war peace life death time space
    nature society culture religion faith truth beauty justice freedom liberty education football basketball baseball
    tennis chess golf rugby hockey cricket swimming running jogging cycling gambling smoking reading writing
    ammunition
    graphite kryptonite mithril dna rna protein cholesterol fat insulin caffeine nicotine cocaine heroin cannabis
    honesty patience loyalty generosity humility charity gratitude laziness pride envy greed jealousy ignorance
    violence pain pleasure evil virtue gossip tobacco lemonade porridge mayonnaise toothpaste detergent kerosene
    lightning thunder helium neon argon humanity software methane propane ozone ammonia acid sweat
    """.split()
)
"""Nouns that stand without an article in the singular and are no names."""

MASS_SUFFIXES = ("ness", "ism", "ology", "ography", "ometry", "ship", "hood", "ity", "tion")
"""Endings of abstract nouns that stand without an article."""

PARTICIPLES = frozenset(
    """made born found written known built sold grown given taken seen held kept worn drawn bred bought caught taught
    sent spoken driven thrown chosen hidden eaten drunk sung told shown stolen broken frozen woven
    """.split()
)
"""Irregular participles that follow a noun: "toys made in China"."""

UNINFLECTED_ADVERBS = frozenset("also just even still soon fast hard well together alone always".split())

VOWEL_SOUND_EXCEPTIONS = (
    *("uni", "use", "usu", "uten", "eu", "ewe", "one", "once", "ura"),
    *("hour", "honest", "honor", "honour", "heir"),
)
"""Beginnings before which "a" and "an" go against the spelling."""

VERBS = frozenset(
    """
    accept accompany ache achieve acquire act adapt add admire admit adore advise affect age agree aim alter amuse
    annoy answer appear apply appreciate approach argue arise arrive ask assist attack attend attract avoid bake
    balance bark bathe bear beat become beg begin behave belong bend benefit bite blame bleed blend bless blink block
    bloom blossom blow boil borrow bother bounce bow break breathe breed bring brush build burn burrow burst buy
    calculate call camp care carry cast catch cause celebrate challenge change charge chase cheat check cheer chew
    chirp choose clap clean clear climb cling coach collect combat come comfort commit communicate compete complain
    complete compose compute conduct confuse connect consist construct consume contain contribute control cook cool
    copy corrode cost cough count cover crack crash crawl create croak cross crow cry cultivate cure cut cycle damage
    dance dare dazzle deal decay deceive decide decorate decrease defend delay deliver demand depend derive deserve
    design desire destroy detect deteriorate develop die differ dig digest dine disagree disappear discover dislike
    dissolve dive divide do draw dream dress drift drink drip drive drop drown dry dwell earn eat educate elect emit
    employ enable encourage end endanger endure engage enjoy enter entertain erode erupt escape evaporate evolve
    examine excel excite exercise expand expect experience explain explode explore export express extend face fade
    fail faint fall fear feed feel fetch fight fill find finish fish fit fix flap flash flee float flock flourish flow
    flower fly focus follow forage forget forgive form freeze frighten function gain gallop gamble gather generate get
    giggle give glide glitter glow go govern graduate grasp graze greet grind grow growl grumble guard guess guide
    hang happen harm hatch hate haunt have heal hear heat help hesitate hibernate hide hit hold hop howl hug hum hunt
    hurry hurt ignite ignore illuminate imitate impress improve include increase influence inform inhabit inherit
    injure inspire instruct invent invest invite irritate jog join joke juggle jump keep kick kill kiss kneel knit
    knock know lack land last laugh lay lead leak lean leap learn leave lend lick lie lift light like limp listen live
    lose love lower make manage march marry mate matter mean measure meditate meet melt mend meow migrate milk mine
    miss mix moan molt moo move multiply murder nest nurse obey observe occupy occur offer operate oppose orbit order
    organise organize originate overheat owe own oxidise oxidize paddle paint participate pass pay peck peel perform
    perish photosynthesise photosynthesize pick plan plant play please plough pollinate pollute possess pour practice
    practise praise pray preach predict prefer prepare prescribe present preserve prevent produce program promote
    protect protest prove provide publish pull pump punish purr push quack race rain raise reach react read rebel
    receive recite recognise recognize record recover recycle reduce reflect refuse regenerate reject rejoice relax
    rely remain remember remove rent repair repeat repel reply represent reproduce require rescue resemble resist
    respect rest retire return reveal ride ring ripen rise roam roar rob rock roll rot rotate rule run rush rust sail
    save scare scream sculpt search see seek seem sell send serve set sew shake share shed shine shiver shoot shop
    shout show shrink sing sink sip sit skate ski sleep slide slither smell smile smoke snarl sneeze snore snow soar
    solve sparkle speak spend spill spin spit split spoil spread sprint squeak squeal stand stare start starve stay
    steal stimulate sting stink store strike struggle study suck suffer suit supply support surf survive sway swear
    sweat swell swim swing talk taste teach tell thrive throw tolerate touch train transmit transport travel treat
    tremble trust try turn twinkle twist understand undress unite use vanish vary vibrate visit volunteer vote wag
    wait wake walk wander want warm wash waste watch water wear weave weep weigh whisper whistle wilt win wither
    wobble
    wonder work worry worship wriggle write yawn yell yelp yield zoom
    conserve contemplate criticise criticize cultivate delight dwindle enforce exhale inhale expel hover hurt
    hydrate illustrate investigate lecture litigate meow metabolise metabolize moisturise mutate nag navigate neigh
    nibble nourish overwork pounce prosecute prowl pursue question radiate refract release render research
    rhyme rob rupture scavenge secrete shelter shimmer skip slaughter slow sneak sniff snuggle sob socialise socialize
    speed squirm stabilise stalk steer stretch strive strut stutter sublime supervise surround swallow swarm tan tease
    thaw thrash tick tickle tire toil trade translate trap tutor tweet type wail walk weld whine wink wrestle
    succeed abandon abide absorb accelerate accumulate adapt adhere adjust adopt advance advertise advertize aid
    allege
    allow amaze amplify announce appeal appoint approve arrange assemble assess assign assume astonish attach attain
    attempt awake award babble bargain battle beam believe betray bewilder bicker bind blaze bleat bloat blush boast
    bore bottle brag breach broadcast broil bruise budget buzz cackle calm cancel capture caress carve cater caution
    cease chant charm chatter circle circulate cite claim clash classify click clone close clutch coexist collapse
    collide commute compare compensate conceal concentrate condemn condense confess confirm conform confront conquer
    consider console conspire consult contract contradict contrast converge convert convince cooperate coordinate cope
    correct correspond counsel counterfeit craft crave crumble crunch crush curl curse dangle deceive declare decline
    decompose dedicate deduce defeat define defy degrade delegate delete delude demonstrate deny depart deposit
    descend
    describe despise detain detest devote devour diagnose dictate diminish dip direct disappoint disapprove discharge
    discipline disclose discourage discuss disintegrate disrupt distract distrust disturb divorce dominate doubt
    download dread drag drain drizzle drum duck duel dump dye echo eject elevate eliminate embarrass embody emerge
    emphasise emphasize endorse endeavor endeavour enforce enhance enlighten enrich enroll enslave ensure entail
    entangle
    enthrall equip eradicate escort esteem estimate evade evaluate evoke exaggerate excavate exchange exclude excrete
    execute exempt exert exhaust exploit expose extinguish extract falter fancy farm fast favor favour fawn feast
    fence
    fidget file film filter fire fizz flatter flip flop flutter foam fold forbid force forecast foresee forge
    fossilise
    fossilize foster frown frustrate fry fume fuse gallop garden gaze glare gleam glimmer gnaw gossip grab grant grill
    grin grip groan groom grunt guarantee gush hail halt hammer handle harbor harbour harm hasten haul hinder hire
    hit holler honk hoot horrify hurl idle idolise idolize impair imply impose impose imprison incubate indulge infect
    inflate inflict inject innovate inquire insist inspect install insult insure integrate intend interact interest
    interfere interpret interrupt intervene intimidate invade involve iron isolate issue itch jabber jeer jingle kneel
    knead label lag lament laminate launch leap lecture legislate liberate litter loathe lobby loiter long look loot
    lurk magnify mail maintain map mask master match maximise maximize mend mention mimic mind minister mislead
    misbehave
    mock model modify monitor mourn mow mumble mutter name narrate neglect negotiate nod nominate notice number
    nurture
    object oblige obtain obstruct offend ooze open operate oppress outgrow outlive overeat oversee pack package park
    parse patrol pave penetrate perceive perch persecute persevere persist persuade pester philosophise philosophize
    photograph pinch plead pledge plot plunder point poke polish pollinate ponder pop populate pose post pound
    precede prepare preside press prevail price print prioritise prioritize proceed process procrastinate produce
    profit prohibit project promise pronounce propagate propel propose prosper proclaim provoke prune puff pulsate
    punch purchase purify quarrel quench quit quiver quote rage raid rally rank rant ramble rate ration rationalise
    reap reason reassure rebuild recall reckon recommend reconcile recruit redistribute refer refine refrain refuel
    regard register regret regulate rehearse reign reinforce relate relay relish remark remind renew renovate replace
    replicate reprimand reside resign resist resolve resort respire restore restrain restrict result resume retain
    retreat retrieve reunite revere revise revolt revolve reward rip roast rollick rotate row ruin rumble rustle
    sacrifice salute sample satisfy scatter scent scold scorch score scrape scratch screech scribble scrub seal season
    seduce segregate select separate settle shatter shave shed shield shift shiver shock shovel shriek shrug shun shut
    sigh sign signal simplify simmer sizzle sketch slam slap slip slurp smash snap snatch snooze snort soak solidify
    sort sound sow span spare spark sparkle specialise specialize sponsor spot spray sprout spy squeeze stack stain
    stamp startle state stem step stir strain stretch stray stroll stumble stun submit subscribe subside succumb
    suggest
    sum summon supervise suppress surprise surrender survey suspect sustain swap swear sweep swerve switch sympathise
    sympathize tackle tailor tame taunt tax telephone tempt tend terrify test testify thicken think thunder tie
    tighten
    tip title torment torture toss tour trace track trail transfer transform transpire trap trespass trick trickle
    triumph trot troubleshoot tug tumble type undergo undermine unify unlock uphold upset urge usher utter vaccinate
    value venerate venture veto vie violate voice vomit wade waddle wade ward warn warrant waver wave wed whimper whip
    whirl widen wield wipe wobble wreck wrinkle zap zip
    digress disobey disperse distribute donate drool edit embrace emigrate emit establish evaporate exceed exhibit
    exist
    assault audit blackmail bribe compile compost continue creep debug deflate draft envy expire flood germinate grieve
    hike import improvise kidnap manufacture mentor mop need parade pity plunge put qualify repent report review riot
    ship sin smuggle splash squirt stop sue take tear tow vandalize waltz
    facilitate fascinate ferment flicker flirt forage fund gleam gossip guzzle harvest highlight hiss hoard host
    """.split()
)
"""Base forms of verbs that may open a predicate without an auxiliary."""
