"""Texts of the demo's orders, in twelve scripts, with characters that break careless writers of files.

All people, addresses and companies are fictitious.
"""

from typing import NamedTuple

from exports.demo.models import Category


class Buyer(NamedTuple):
    """Name and address of a buyer."""

    name: str
    street: str
    city: str
    country: str


class Item(NamedTuple):
    """An item of the catalogue; `cents` is its price in hundredths of a euro."""

    text: str
    category: Category
    cents: int


BUYERS = (
    Buyer("Zoë Brontë-O'Neill", "221 Upper Baker Row", "London", "GB"),
    Buyer('Margaret "Peggy" Ashworth', "Flat 5, The Old Mill", "Hebden Bridge", "GB"),
    Buyer("Jürgen Weißgerber", "Große Straße 12 b", "Osnabrück", "DE"),
    Buyer(
        "Käthe Müller-Lüdenscheidt",
        "c/o Bäckerei Schäfer\nHinterhof, 2. Stock\nÄußere Gasse 7",
        "Nürnberg",
        "DE",
    ),
    Buyer("Łukasz Żółkiewski", "ul. Świętokrzyska 3/14", "Łódź", "PL"),
    Buyer("Þórdís Ægisdóttir", "Öldugata 9", "Reykjavík", "IS"),
    Buyer("François d'Aubigné", "14, rue de l'Église, bâtiment B", "Besançon", "FR"),
    Buyer("Núria Peña i Güell", "Carrer d'Avinyó, 23, 4t 2a", "Barcelona", "ES"),
    Buyer("İbrahim Çağlayan", "Gülbahçe Sokağı No: 8", "Şanlıurfa", "TR"),
    Buyer("Nguyễn Thị Ánh Tuyết", "17 Đường Trần Hưng Đạo", "Đà Nẵng", "VN"),
    Buyer("Αλέξανδρος Παπαδόπουλος", "Οδός Ερμού 42", "Αθήνα", "GR"),
    Buyer("Ελένη Χριστοδούλου", "Λεωφόρος Νίκης 7", "Θεσσαλονίκη", "GR"),
    Buyer("Наталья Ёлкина", "ул. Большая Морская, д. 15, кв. 3", "Санкт-Петербург", "RU"),
    Buyer("Олександр Їжакевич", "вул. Січових Стрільців, 21", "Львів", "UA"),
    Buyer("فاطمة الزهراء بن يوسف", "شارع الحرية، رقم ١٢", "القاهرة", "EG"),
    Buyer("محمد الأندلسي", "زنقة الياسمين 5", "مراكش", "MA"),
    Buyer("נועה בן־דוד", "רחוב הרצל 18, דירה 4", "תל אביב", "IL"),
    Buyer("יעקב שׁלום", "דרך יפו 101", "ירושלים", "IL"),
    Buyer("अनन्या श्रीवास्तव", "१२, गांधी मार्ग", "लखनऊ", "IN"),
    Buyer("विक्रम क्षत्रिय", "मकान नं. 7/3, सेक्टर 21", "जयपुर", "IN"),
    Buyer("สมชาย ศรีสุวรรณ", "88/9 ถนนสุขุมวิท", "กรุงเทพมหานคร", "TH"),
    Buyer("น้ำฝน แก้วใส", "12 หมู่ 4 ตำบลช้างเผือก", "เชียงใหม่", "TH"),
    Buyer("欧阳晓明", "中山路 88 号 3 栋 502 室", "南京", "CN"),
    Buyer("陳美玲", "信義路五段7號", "臺北", "TW"),
    Buyer("佐藤 花子", "神田神保町一丁目2番地", "東京", "JP"),
    Buyer("髙橋 ジョン", "四条通烏丸東入ル\nコーポさくら 101号", "京都", "JP"),
    Buyer("김민준", "세종대로 110", "서울", "KR"),
    Buyer("뢰은별", "해운대로 570번길 46", "부산", "KR"),
    Buyer("Ana Clara da Conceição 🌻", "Rua das Acácias, 300", "São Paulo", "BR"),
    Buyer("=Ursula Stern", "-1. Etage, Ring 3", "Wien", "AT"),
)

ITEMS = (
    Item("Notebook, A5, dotted", Category.OFFICE, 899),
    Item('Monitor stand 24"', Category.OFFICE, 4_950),
    Item("Füllfederhalter „Klassik“, Feder M", Category.OFFICE, 12_900),
    Item("Скрепки, 100 шт.", Category.OFFICE, 149),
    Item("Café en grains, 1 kg", Category.FOOD, 2_190),
    Item("Ελαιόλαδο, 5 λίτρα", Category.FOOD, 5_475),
    Item("煎茶 詰め合わせ", Category.FOOD, 3_200),
    Item("تمور المجهول ٥٠٠ غ", Category.FOOD, 1_350),
    Item("김치 세트 🌶️", Category.FOOD, 2_780),
    Item("मसाला डिब्बा", Category.FOOD, 1_999),
    Item("Ørsted: Skovens bog, 2nd edition", Category.BOOKS, 3_495),
    Item("ספר שירים, כריכה קשה", Category.BOOKS, 2_650),
    Item("红楼梦（精装，四册）", Category.BOOKS, 8_800),
    Item("หนังสือภาพสำหรับเด็ก", Category.BOOKS, 1_175),
    Item("Watering can, 10 l", Category.GARDEN, 1_725),
    Item("Rosenschere; Stahl, geschmiedet", Category.GARDEN, 3_999),
    Item("Lampe de chevet – verre soufflé", Category.GARDEN, 6_540),
    Item("Ukulele, soprano 🎸", Category.MUSIC, 7_900),
    Item("Cajón flamenco", Category.MUSIC, 15_500),
    Item("Strings, set of 6\n(nylon)", Category.MUSIC, 1_249),
    Item("Матрёшка, 7 мест", Category.TOYS, 2_345),
    Item("Puzzle: Tõde ja õigus, 1000 pcs", Category.TOYS, 1_895),
    Item("けん玉", Category.TOYS, 1_680),
    Item("Kite 🪁, 'Albatross'", Category.TOYS, 2_999),
)

NOTES = (
    "Please leave it with the neighbour.",
    'Said: "ring twice", then wait.',
    "=SUM(A1:A9) is printed on the gift card, as asked",
    "-10 % for the late parcel",
    "+49 30 0123456 is the number to call",
    "@reception, third floor",
    "0042",
    "First line\nsecond line\n\nfourth line",
    "Bitte klingeln bei „Größe & Co.“; danke!",
    "プレゼント用に包んでください。",
    "يرجى الاتصال قبل التسليم",
    "נא להשאיר ליד הדלת",
    "कृपया शाम को भेजें",
    "โปรดโทรก่อนส่ง",
    "Παρακαλώ πριν από τις 5 μ.μ.",
    "Подъезд 2, домофон не работает",
    "请勿折叠",
    "문 앞에 놓아 주세요",
    "👩‍👩‍👧 Thank you! ❤️",
    "Tab\there, semicolon; comma, and a backslash \\",
)
