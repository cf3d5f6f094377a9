"""Name the region of the body that a header states: by a code, else by BodyPartExamined."""

from __future__ import annotations

from preprocessing import SliceFacts

REGIONS = ("lumbar", "thoracic", "cervical", "other")
PHANTOM = "phantom"

# BodyPartExamined (PS3.16 annex L) by its letters alone, and other ways in which sites write it.
# Other values are ignored, because many sites write free text here. SPINE, BACK and TLSPINE may
# show any vertebrae.
_TERMS = {
    "lumbar": "LSPINE LSSPINE LUMBAR LUMBARSPINE SPINELUMBAR LUMBOSACRAL LUMBOSACRALSPINE",
    "thoracic": "TSPINE THORACIC THORACICSPINE SPINETHORACIC DORSALSPINE",
    "cervical": "CSPINE CERVICAL CERVICALSPINE SPINECERVICAL CTSPINE CERVICOTHORACICSPINE",
    PHANTOM: "PHANTOM",
    "other": """
        ABDOMEN ABDOMENPELVIS ABDOMINALAORTA ACJOINT ADRENAL ANKLE ANUS AORTA AORTICARCH ARM
        AXILLA BILEDUCT BILIARYTRACT BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF
        CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS
        CLAVICLE COCCYX COLON COMMONBILEDUCT CORNEA CORONARYARTERY DUODENUM EAR ELBOW
        ESOPHAGUS EXTREMITY EYE EYELID FACE FACIALBONES FEMUR FIBULA FINGER FLANK FOOT
        FOREARM FOREFOOT GALLBLADDER GROIN HAND HEAD HEADNECK HEART HINDFOOT HIP HIPS
        HUMERUS IAC ILEUM ILIUM INGUINAL INNEREAR INTRACRANIAL JAW JEJUNUM JOINT KIDNEY KNEE
        LARGEINTESTINE LARYNX LEG LIVER LOWERARM LOWEREXTREMITY LOWERLEG LOWERLIMB LUNG
        MANDIBLE MASTOID MAXILLA MEDIASTINUM MOUTH NASALBONE NASOPHARYNX NECK NECKCHEST
        NECKCHESTABDOMEN NECKCHESTABDPELV NOSE OPTICCANAL ORBIT OVARY PANCBILEDUCT PANCREAS
        PANCREATICDUCT PARANASALSINUS PARATHYROID PAROTID PATELLA PELVIS PELVISLOWEXTREMT
        PENIS PERINEUM PHARYNX PITUITARY PROSTATE RADIUS RECTUM RIB SACRUM SCALP SCAPULA
        SCJOINT SCLERA SCROTUM SELLA SESAMOID SHOULDER SIJOINT SINUS SKULL SMALLINTESTINE
        SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TARSALJOINT TEMPORALBONE TESTIS THIGH
        THORAX THUMB THYMUS THYROID TIBIA TMJ TOE TONGUE TRACHEA ULNA UPPERARM
        UPPEREXTREMITY UPPERLIMB UPRURINARYTRACT URETER URETHRA UTERUS VAGINA VULVA
        WHOLEBODY WRIST ZYGOMA
    """,
}
# AnatomicRegionSequence (CID 4, CID 4031, CID 7603): SNOMED CT and its older SRT codes.
_CODES = {
    # The spine, the region, the vertebrae and the discs.
    "lumbar": """
        122496007 T-11503 1217253001 297173004 T-D00F9 52612000 T-D2300
        66794005 T-11910 14293000 T-11920 36470004 T-11930 11994002 T-11940 49668003 T-11950
        80064006 T-1191B 67459009 T-1192B 62551000 T-1193B 84020006 T-1194B 75782005 T-1195B
        715056000 T-D08DC 243920003 T-D0097 243921004 T-D0098 243922006 T-D0099 243923001 T-D009A
        243927000 T-D009E
    """,
    "thoracic": "122495006 T-11502",
    "cervical": "122494005 T-11501 1217257000 297171002 T-D00F7",
    PHANTOM: "706342009 R-FE0C7",
    # Spine, thoracolumbar, vertebra, cord, canal, back, trunk.
    "": """
        421060004 T-D04FF 1217256009 297172009 T-D00F8 51282000 T-11510 2748008 T-A7010
        61853006 T-1151F 77568009 T-D2100 22943007 T-D2000
    """,
}
_REGION_OF_TERM = {term: region for region, terms in _TERMS.items() for term in terms.split()}
_REGION_OF_CODE = {code: region for region, codes in _CODES.items() for code in codes.split()}


def stated_region(facts: SliceFacts) -> tuple[str, str] | None:
    """Name the region that a header states, and the keyword of the element that does.

    A code that is not listed is of another part: codes come from lists, not from people's hands.

    Args:
        facts: what the header says.

    Returns:
        One of `REGIONS` or PHANTOM; None where the header leaves it open.
    """
    if facts.anatomic_region:
        code, keyword = facts.anatomic_region
        if region := _REGION_OF_CODE.get(code, "other"):
            return region, keyword
    letters = "".join(filter(str.isalpha, facts.body_part_examined or ""))
    found = _REGION_OF_TERM.get(letters)
    return (found, "BodyPartExamined") if found else None
